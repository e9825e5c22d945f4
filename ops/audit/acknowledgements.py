"""Discrepancies that operators understand, with a reason. The audit lists them apart.

They are kept in a JSON file: AUDIT_ACKNOWLEDGEMENTS names it, so that all operators of a deployment
can share one. That of the local stack is in STATE_DIR, and goes with the data that it is about.
"""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from infra.stack.config import StackError
from ops.audit.findings import Acknowledgement, CannotRead, Report
from ops.deployment import Deployment

_VARIABLE = "AUDIT_ACKNOWLEDGEMENTS"
_decode = msgspec.json.Decoder(tuple[Acknowledgement, ...]).decode


def load(shop: Deployment) -> tuple[Acknowledgement, ...]:
    """Raises CannotRead for a file that is damaged."""
    file = _file(shop)
    try:
        return _decode(file.read_bytes()) if file else ()
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CannotRead(f"The acknowledgements in {file} can't be read: {error}") from error


def acknowledge(shop: Deployment, report: Report, name: str, reason: str, by: str | None) -> None:
    """Store that the report's discrepancies of this name are understood.

    Raises StackError where there is none, without a reason, and without a file to keep it in.
    """
    file = _file(shop)
    if file is None:
        raise StackError(f"Not set: {_VARIABLE}, the file that keeps the acknowledgements.")
    if not reason.strip():
        raise StackError("Give a reason: make audit ACKNOWLEDGE=<name> REASON='...'")
    named = (each for result in report.results for each in result.discrepancies)
    found = tuple(each.what for each in named if each.name == name)
    if not found:
        raise StackError(f"There is no discrepancy {name!r} to acknowledge. Run: make audit")
    made = Acknowledgement(
        name=name,
        found=found,
        reason=reason.strip(),
        by=by or _user(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _save(file, (*(each for each in load(shop) if each.name != name), made))


def _file(shop: Deployment) -> Path | None:
    named = shop.environment.get(_VARIABLE)
    if named:
        return Path(named)
    return shop.stack.state_dir / "acknowledgements.json" if shop.stack else None


def _save(file: Path, content: tuple[Acknowledgement, ...]) -> None:
    """Write another file and rename it, so that a reader sees the old or the new one in full."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2))
        beside.replace(file)
    except OSError as error:
        raise StackError(f"The acknowledgement can't be stored: {error}") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # without a name
        return f"uid {os.getuid()}"
