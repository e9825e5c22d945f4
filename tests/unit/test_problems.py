"""The decoder's complaints as plain sentences, in English and in every other language."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
import pytest

from chassis.web.errors import invalid_body
from chassis.web.languages import CHASSIS, ENGLISH, Languages
from chassis.web.problems import choices
from chassis.web.schemas import NO_NUL, Body, Instant
from events.messages import FOLDER

INTERNALS = re.compile(r"`|Expected|\bint\b|\bstr\b|\bfloat\b|regex|\\u|<class|enum|Invalid|RFC")


class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


class Inner(Body):
    number: Annotated[int, msgspec.Meta(ge=1, lt=9)]
    colour: Colour | None = None


class Outer(Body):
    """A field of every kind."""

    number: Annotated[int, msgspec.Meta(gt=0, le=9)] = 1
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=3, pattern=NO_NUL)] = "x"
    code: Annotated[str, msgspec.Meta(pattern="^[a-f]+$")] = "a"
    colour: Colour | None = None
    user_id: UUID | None = None
    moment: Instant | None = None
    any_moment: datetime | None = None
    rows: Annotated[list[Inner], msgspec.Meta(min_length=1, max_length=2)] | None = None
    is_new: bool = False
    ratio: float = 0.0
    inner: Inner | None = None
    colours: tuple[Colour, ...] = ()


UUID_SHOWN = "a UUID, such as 3fa85f64-5717-4562-b3fc-2c963f66afa6"
TIME_SHOWN = "a time with its zone, such as 2026-01-31T09:00:00Z"
ROW = '{"number": 1}'
PROBLEMS = {
    "[]": ("", "must be an object, not a list"),
    '{"x": 1}': ("x", "there is no such field"),
    '{"number": 0}': ("number", "must be a whole number of at least 1"),
    '{"number": 10}': ("number", "must be a whole number of at most 9"),
    '{"number": 1.0}': ("number", "must be a whole number, not a decimal number"),
    '{"number": "1"}': ("number", "must be a whole number, not a text"),
    '{"text": ""}': ("text", "must have at least 1 character"),
    '{"text": "long"}': ("text", "must have at most 3 characters"),
    '{"text": "\\u0000"}': ("text", "must not have the character NUL"),
    '{"text": null}': ("text", "must be a text, not null"),
    '{"code": "x"}': ("code", "has a form that is not allowed here"),
    '{"colour": "GREEN"}': ("colour", "must be one of RED, BLUE"),
    '{"colour": 1}': ("colour", "must be a text, not a whole number"),
    '{"colours": ["RED", "GREEN"]}': ("colours[1]", "must be one of RED, BLUE"),
    '{"userId": "x"}': ("userId", f"must be {UUID_SHOWN}"),
    '{"userId": 1}': ("userId", f"must be {UUID_SHOWN}, not a whole number"),
    '{"moment": "today"}': ("moment", f"must be {TIME_SHOWN}"),
    '{"moment": "2026-01-31T09:00:00"}': ("moment", f"must be {TIME_SHOWN}"),
    '{"moment": 1}': ("moment", f"must be {TIME_SHOWN}, not a whole number"),
    '{"anyMoment": "2026-13-31T09:00:00Z"}': ("anyMoment", f"must be {TIME_SHOWN}"),
    '{"rows": []}': ("rows", "must have at least 1 item"),
    '{"rows": [0, 0, 0]}': ("rows[0]", "must be an object, not a whole number"),
    f'{{"rows": [{ROW}, {ROW}, {ROW}]}}': ("rows", "must have at most 2 items"),
    '{"rows": {}}': ("rows", "must be a list, not an object"),
    '{"rows": [{}]}': ("rows[0].number", "is missing"),
    '{"rows": [{"number": 9}]}': ("rows[0].number", "must be a whole number of at most 8"),
    '{"rows": [{"number": 1, "colour": ""}]}': ("rows[0].colour", "must be one of RED, BLUE"),
    '{"inner": {"number": 0}}': ("inner.number", "must be a whole number of at least 1"),
    '{"isNew": 1}': ("isNew", "must be true or false, not a whole number"),
    '{"ratio": "1"}': ("ratio", "must be a number, not a text"),
}


@pytest.mark.parametrize("body", PROBLEMS)
def test_problem_is_a_plain_sentence_in_every_language(body: str) -> None:
    key, message = PROBLEMS[body]
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(body, type=Outer)
    error = invalid_body(raised.value, Outer)
    assert error.details
    [problem] = error.details["problems"]
    assert (problem.get("key", ""), problem["message"]) == (key, message)
    assert not INTERNALS.search(error.message)
    languages = Languages(CHASSIS, FOLDER)
    for language in set(languages.known) - {ENGLISH}:
        translation = languages.translation(language)
        assert translation
        assert translation.problem(message) != message
        assert not INTERNALS.search(translation.problem(message))


def test_values_of_an_enum_are_found_by_their_place_alone() -> None:
    assert choices(Outer, "inner.colour") == ["RED", "BLUE"]
    assert choices(Colour | None, "") == ["RED", "BLUE"]
    for key in ("inner", "rows", "colours", "nothing.colour", "text"):
        assert not choices(Outer, key)
