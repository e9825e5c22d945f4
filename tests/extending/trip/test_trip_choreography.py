"""A second choreography, drawn and checked by the same tool as the shop's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from saga.choreography import checks
from saga.choreography.graph import load
from tests.kit.stack import ROOT
from tests.unit.test_imports import loaded
from trip_events.participants import PARTICIPANTS

HERE = Path(__file__).parent


@pytest.fixture
def generated(tmp_path: Path) -> tuple[str, str]:
    """The document and the broker's permissions, as the command writes them."""
    document, permissions = tmp_path / "TRIP.md", tmp_path / "users.conf"
    command = [sys.executable, "-m", "saga.choreography", "--of", "trip_events"]
    files = ["--document", str(document), "--permissions", str(permissions)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{HERE}"}
    for check in ([], ["--check"]):
        subprocess.run([*command, *files, *check], cwd=tmp_path, env=environment, check=True)
    return document.read_text(), permissions.read_text()


def test_the_trip_is_sound() -> None:
    assert checks.flaws(load("trip_events")) == []


def test_the_trip_is_drawn(generated: tuple[str, str]) -> None:
    document, _ = generated
    assert "    car -- CarRefused --> hotel\n    hotel -- RoomReleased --> flight\n" in document
    assert "| RoomReleased | `trips.<tripId>.RoomReleased` | hotel | flight |" in document
    assert "OrderCreated" not in document


def test_each_participant_may_publish_its_own_events_alone(generated: tuple[str, str]) -> None:
    _, permissions = generated
    own = permissions[permissions.index("user: car") : permissions.index("user: admin")]
    published = own[: own.index("subscribe:")]
    assert published.count('"trips.*.') == 4
    assert '"trips.*.CarBooked"' in published
    assert '"$JS.API.CONSUMER.MSG.NEXT.TRIPS.car"' in published
    assert "SAGA." not in permissions


@pytest.mark.parametrize("service", PARTICIPANTS)
@pytest.mark.parametrize("name", ["domain", "commands", "reactions", "unit_of_work"])
def test_a_pure_file_of_a_participant_loads_no_framework(service: str, name: str) -> None:
    assert loaded(f"{service}.{name}", HERE) == set()
