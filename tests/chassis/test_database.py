"""A service's database: made once, and not used when another version made it."""

from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from infra.database import Database
from infra.errors import ConfigurationError


def schema(*columns: str) -> MetaData:
    made = MetaData()
    Table("things", made, *(Column(name, Integer, primary_key=name == "id") for name in columns))
    return made


async def test_tables_are_made_once(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/things.db")
    await database.create(schema("id", "size"))
    await database.create(schema("id", "size"), schema("id"))
    await database.close()


async def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/things.db")
    await database.create(schema("id", "size"))
    with pytest.raises(ConfigurationError, match="table things has no colour, weight") as refused:
        await database.create(schema("id", "size", "weight", "colour"))
    assert "make reset" in refused.value.message
    await database.close()
