"""Kernel, contract and business rules load no framework: each is imported in a fresh interpreter.

import-linter reads the import statements; these tests see what is loaded, also by name or in a
function that runs on import.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from events.participants import PARTICIPANTS as SERVICES

ROOT = Path(__file__).parent.parent.parent
FORBIDDEN = ("sqlalchemy", "nats", "litestar", "redis", "asyncio", "chassis")
PURE_FILES = ("domain", "commands", "unit_of_work", "reactions")


def pure_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob("[!_]*.py"))


PURE = [
    *(f"{folder}.{path.stem}" for folder in ("saga", "events") for path in pure_files(folder)),
    *(f"{service}.{name}" for service in SERVICES for name in PURE_FILES),
    "order.cart",
    "order.pricing",
    "payment.external_calls",
    "product.queues",
    "product.sales",
    "product.waitlist",
]

_LIST_MODULES = "import sys, {module}; print(*sys.modules, sep='\\n')"


def loaded(module: str, *folders: Path) -> set[str]:
    """The forbidden packages that are loaded after the import of this module alone."""
    # -I would also leave out the current folder, from which the project's packages come.
    done = subprocess.run(
        [sys.executable, "-c", _LIST_MODULES.format(module=module)],
        cwd=ROOT,
        env={"PYTHONPATH": ":".join(map(str, folders))},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    modules = set(done.stdout.split())
    assert module in modules
    return modules & set(FORBIDDEN)


@pytest.mark.parametrize("module", PURE)
def test_pure_module_loads_no_framework(module: str) -> None:
    assert loaded(module) == set()


def test_every_pure_module_is_tested() -> None:
    assert {"events.contract", "saga.reactions", "saga.envelope"} < set(PURE)
    services = {path.parent.name for path in ROOT.glob("*/reactions.py")} - {"saga"}
    assert services == set(SERVICES)


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_check_finds_forbidden_import(tmp_path: Path, forbidden: str) -> None:
    """Also a hidden import, in a module that the tested one imports."""
    (tmp_path / "inner.py").write_text(f"__import__('importlib').import_module('{forbidden}')\n")
    (tmp_path / "tainted.py").write_text("def _load():\n    import inner\n_load()\n")
    assert forbidden in loaded("tainted", tmp_path)


def test_check_finds_forbidden_imports_of_an_app() -> None:
    assert set(FORBIDDEN) - {"redis"} <= loaded("order.app")
