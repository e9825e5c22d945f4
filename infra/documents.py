"""Documents that are written from the code: settings, tables, personal data, routes, errors.

python -m infra.documents            write them: docs/configuration.md, docs/openapi and others
python -m infra.documents --check    write nothing; fail where one of them is stale
"""

import argparse
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path

from sqlalchemy import Column, MetaData, Table

from chassis.settings import Settings, Variable, variables
from chassis.storage import tables
from events.participants import PARTICIPANTS
from infra import api_documents, personal_documents

_CONFIGURATION = """\
# Configuration

Written by `make documents` from the services' `settings.py`; don't edit it.

All of it is set by environment variables. `make up ORDER_PORT=9001` passes them on to the local
stack; elsewhere set them for each process. A wrong value ends the process with one line that names
the variable and its bounds. `{SERVICE}` stands for a service's name in capitals: `ORDER_PORT`.

"""

_STACK = (
    ("STATE_DIR", ".run", "The folder of the local stack's files, and of SQLite databases."),
    ("NATS_PORT, NATS_MONITOR_PORT", "4222, 8222", "The local stack's broker."),
    (
        "CLUSTER",
        "1",
        "3: the local stack's broker is a cluster, and keeps as many copies of each stream.",
    ),
    (
        "NATS2_PORT, NATS2_MONITOR_PORT, NATS3_PORT, NATS3_MONITOR_PORT",
        "4223, 8223, 4224, 8224",
        "Its second and third server, with `CLUSTER=3`.",
    ),
    (
        "NATS_CLUSTER_PORT, NATS2_CLUSTER_PORT, NATS3_CLUSTER_PORT",
        "6222, 6223, 6224",
        "Between the servers, with `CLUSTER=3`.",
    ),
    ("REDIS_PORT", "6379", "The local stack's Redis."),
    ("LITESTREAM", "0", "1: Litestream copies the SQLite databases continuously."),
    ("LITESTREAM_URL", "file://STATE_DIR/replicas", "Where to, such as `s3://bucket/shop`."),
    ("GATEWAY_PORT, PLATFORM_PORT", "8190, 8191", "The local stack's simulators."),
    (
        "NATS_SYNC_INTERVAL",
        "2m",
        "How often the broker forces its store to the disk; `always`: before it acknowledges.",
    ),
    (
        "NATS_CONTEXT",
        "saga",
        "The name of the NATS CLI's contexts; empty: none. A second stack needs another.",
    ),
)

_DATABASES = """\
# Databases

Written by `make documents` from the services' tables; don't edit it. Every service has a database
of its own and reads no other. A line between two tables says that one has the other's key; there
are no foreign keys, so that batches insert in any order.

"""


def documents() -> dict[str, str]:
    """The files, with what they should hold."""
    return {
        "docs/access.md": api_documents.access(),
        "docs/configuration.md": _CONFIGURATION + "\n".join(_configuration()) + "\n",
        "docs/databases.md": _DATABASES + "\n".join(_databases()) + "\n",
        "docs/errors.md": api_documents.errors(),
        "docs/personal-data.md": personal_documents.personal_data(),
        **api_documents.openapi(),
    }


def _configuration() -> Iterator[str]:
    yield from _variables("Every service", variables(Settings))
    chassis = {field for field, _ in variables(Settings)}
    for service in PARTICIPANTS:
        own = import_module(f"{service}.settings").Settings
        rows = [each for each in variables(own) if each[0] not in chassis]
        if rows:
            yield from _variables(f"The {service} service", iter(rows))
    yield from _head("The local stack")
    yield from (f"| `{name}` | {default} | {purpose} |" for name, default, purpose in _STACK)
    yield ""
    yield from _head("Default ports")
    for service, port in PARTICIPANTS.items():
        yield f"| `{service.upper()}_PORT` | {port} | The {service} service. |"


def _variables(title: str, rows: Iterator[tuple[str, Variable]]) -> Iterator[str]:
    yield from _head(title)
    for _, variable in rows:
        default = variable.shown_default
        bounds = f" {variable.bounds}" if variable.bounds else ""
        yield f"| `{variable.name}` | {default} | {variable.purpose}{bounds} |"
    yield ""


def _head(title: str) -> Iterator[str]:
    yield from (f"## {title}", "", "| variable | default | what it is |", "|---|---|---|")


def _databases() -> Iterator[str]:
    yield from _diagram("In every service's database", tables.metadata)
    for service in PARTICIPANTS:
        schema: MetaData = import_module(f"{service}.app").participant.schema
        yield from _diagram(service, schema)


def _diagram(title: str, schema: MetaData) -> Iterator[str]:
    yield from (f"## {title}", "", "```mermaid", "erDiagram")
    for table in schema.sorted_tables:
        yield f"    {table.name} {{"
        yield from (f"        {_column(column)}" for column in table.columns)
        yield "    }"
    if schema is not tables.metadata:
        relations = chain.from_iterable(map(_relations, schema.sorted_tables))
        yield from sorted(set(relations))
    yield from ("```", "")


def _column(column: Column[object]) -> str:
    kind = type(column.type).__name__.lower()
    return f"{kind} {column.name}" + (" PK" if column.primary_key else "")


def _relations(table: Table) -> Iterator[str]:
    """The tables of the same database whose whole key is a column of this one."""
    for other in table.metadata.sorted_tables:
        keys = [column.name for column in other.primary_key.columns]
        if other is not table and len(keys) == 1 and keys[0] in table.columns and keys != ["id"]:
            one = [each.name for each in table.primary_key.columns] == keys
            yield f"    {other.name} ||--o{'|' if one else '{'} {table.name} : {keys[0]}"


def main() -> int:
    sys.path.insert(0, "")  # the services are packages of the current folder
    parser = argparse.ArgumentParser(prog="python -m infra.documents")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check = parser.parse_args().check
    stale = {
        name: text
        for name, text in documents().items()
        if not Path(name).exists() or Path(name).read_text() != text
    }
    for name, text in stale.items():
        if check:
            print(f"{name} is stale: run make documents", file=sys.stderr)
        else:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text)
            print(f"wrote {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
