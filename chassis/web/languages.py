"""The messages of errors in the language that a client prefers (RFC 9110, Accept-Language).

English is in the code, beside what raises it. Each other language has a file in a folder of
messages, `ko.toml`: sentences by error code, with placeholders that are filled from the error, and
the problems of invalid requests by a pattern of the English text. Codes are the same in all
languages. A later folder's sentence takes the place of an earlier one's.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from litestar.types import Scope

ENGLISH = "en"
CHASSIS = Path(__file__).parent / "messages"
"""The folder with the messages of the chassis' own codes."""

_HEADER = b"accept-language"
_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_TAG = re.compile(r"\*|[a-z]{1,8}(?:-[a-z0-9]{1,8})*")
_PROBLEM = re.compile(r"(?:(?P<key>[\w.\[\]-]+): )?(?P<message>.*)", re.DOTALL)


class Translation(msgspec.Struct, frozen=True):
    """One language: sentences by code, and those for problems by a pattern of the English text."""

    sentences: dict[str, str]
    problems: dict[str, str]

    def sentence(self, code: str, values: Mapping[str, Any]) -> str | None:
        """None where there is none, or a value that it needs is not there."""
        try:
            return self.sentences[code].format_map(values)
        except KeyError:
            return None

    def problem(self, message: str) -> str:
        """What is wrong with a value; in English where no pattern matches."""
        for pattern, sentence in self.problems.items():
            if found := re.fullmatch(pattern, message, re.DOTALL):
                return sentence.format(*found.groups())
        return message

    def named_problem(self, text: str) -> str:
        """The same for a text that may begin with the name of a field."""
        found = _PROBLEM.fullmatch(text)
        key = found and found["key"]
        return f"{key}: {self.problem(found['message'])}" if found and key else self.problem(text)


class Languages:
    """The languages in the folders of messages, beside English."""

    def __init__(self, *folders: Path) -> None:
        self._translations: dict[str, Translation] = {}
        for path in sorted(file for folder in folders for file in folder.glob("*.toml")):
            self._translations.setdefault(path.stem, Translation({}, {}))
        for language, translation in self._translations.items():
            for folder in folders:
                texts = tomllib.loads((folder / f"{language}.toml").read_text())
                translation.sentences.update(texts["sentences"])
                translation.problems.update(texts["problems"])

    @property
    def known(self) -> tuple[str, ...]:
        """English first."""
        return (ENGLISH, *self._translations)

    def preferred(self, scope: Scope) -> str:
        """The known language that the request asks for most; English without a preference."""
        sent = [value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER]
        return negotiate(",".join(sent), self.known) if sent else ENGLISH

    def translation(self, language: str) -> Translation | None:
        """None for English."""
        return self._translations.get(language)


@lru_cache(maxsize=256)
def negotiate(accepted: str, known: tuple[str, ...]) -> str:
    """The language of the largest weight: of two the one named first, and the first one for `*`.

    A region is ignored. The first language where none is accepted, or the header is malformed.
    """
    weights: dict[str, float] = {}
    for each in accepted.lower().split(","):
        tag, _, parameter = (part.strip() for part in each.partition(";"))
        weight = _WEIGHT.fullmatch(parameter) if parameter else None
        if _TAG.fullmatch(tag) and (weight or not parameter):
            language = tag.split("-")[0]
            value = float(weight[1]) if weight else 1.0
            weights[language] = max(value, weights.get(language, 0.0))
    others = [each for each in known if each not in weights]
    candidates = [*(each for each in weights if each in known), *others]
    best = max(candidates, key=lambda each: weights.get(each, weights.get("*", 0.0)))
    return best if weights.get(best, weights.get("*", 0.0)) > 0 else known[0]


@lru_cache(maxsize=1)
def of_chassis() -> Languages:
    """The languages of the chassis' own messages, for an application without others."""
    return Languages(CHASSIS)
