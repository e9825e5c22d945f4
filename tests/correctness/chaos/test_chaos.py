"""A short run of chaos in which each kind of fault comes once."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.correctness.chaos.faults import FAULTS
from tests.correctness.chaos.restores import RESTORED
from tests.correctness.chaos.storm import TIMES, Storm
from tests.kit.client import Shop, open_shop, running_stack


@pytest.fixture
async def stormy(tmp_path: Path) -> AsyncIterator[Shop]:
    with running_stack(tmp_path / "stack", **TIMES) as environment:
        async with open_shop(environment) as shop:
            yield shop


async def test_every_order_ends_whatever_fails(stormy: Shop) -> None:
    storm = Storm(stormy, random.Random(1), FAULTS, pauses=(0.1, 0.5), customers=3)
    report = await storm.run(seconds=0)
    assert set(report.faults) == {*FAULTS, *RESTORED}
    assert report.lost == []
    assert report.not_ended == []
    assert not any(report.unsettled.values())
    assert not any(report.dead_letters.values())
    assert report.discrepancies == []
    assert report.ends.keys() == {"COMPLETED", "FAILED", "CANCELLED"}
