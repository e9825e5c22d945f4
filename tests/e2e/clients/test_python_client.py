"""openapi-python-client makes clients of the committed documents. They work on a stack."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest

from events.participants import PARTICIPANTS
from tests.e2e.api.routes import UNKNOWN_ID
from tests.kit.client import ROOT, Shop

WAY_TO_THE_END = [
    "OrderCreated",
    "CouponUsed",
    "StockDecremented",
    "PaymentCompleted",
    "OrderCompleted",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where clients are made and imported from."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "settings.yml").write_text("post_hooks: []\n")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def client_of(service: str, folder: Path) -> ModuleType:
    """The generated package. A warning of the generator is an error."""
    name = f"generated_{service}_client"
    if not (folder / name).exists():
        made = subprocess.run(
            [
                *(Path(sys.executable).with_name("openapi-python-client"), "generate"),
                *("--path", ROOT / f"docs/openapi/{service}.json", "--output-path", name),
                *("--meta", "none", "--config", "settings.yml", "--fail-on-warning"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
    return import_module(name)


@pytest.mark.parametrize("service", PARTICIPANTS)
def test_client_has_a_function_for_each_operation(service: str, folder: Path) -> None:
    client = client_of(service, folder)
    modules = {
        each.name: import_module(each.name)
        for each in walk_packages(client.__path__, f"{client.__name__}.")
    }
    functions = [name for name, module in modules.items() if hasattr(module, "asyncio_detailed")]
    assert f"{client.__name__}.api.operations.list_dead_letters" in functions
    document = (ROOT / f"docs/openapi/{service}.json").read_text()
    assert len(functions) == document.count('"operationId"')


async def test_client_places_follows_and_cancels_an_order(shop: Shop, folder: Path) -> None:
    made = client_of("order", folder)
    api: Any = import_module(f"{made.__name__}.api.orders")
    models: Any = import_module(f"{made.__name__}.models")
    orders = {
        name: import_module(f"{api.__name__}.{name}").asyncio
        for name in ("place_order", "follow_order", "cancel_order", "get_order")
    }
    customer, cake = await shop.create_wallet(1_000), await shop.create_product(price=30, stock=5)
    url = shop.environment["ORDER_URL"]

    async with made.Client(base_url=url, raise_on_unexpected_status=True) as client:
        body = models.NewOrder(
            customer_id=UUID(customer),
            items=[models.OrderedItem(product_id=UUID(cake), quantity=2, price=30)],
            payment_method=models.PaymentMethod.WALLET,
        )
        accepted = await orders["place_order"](
            client=client, body=body, idempotency_key=str(uuid4())
        )
        order_id = UUID(accepted.order_id)
        followed = await orders["follow_order"](order_id, client=client)
        completed = await orders["get_order"](order_id, client=client)
        cancelled = await orders["cancel_order"](order_id, client=client)
        refusal = await orders["get_order"](UUID(UNKNOWN_ID), client=client)

    assert (accepted.status, accepted.total_amount) == (models.OrderStatus.PENDING, 60)
    lines = followed.splitlines()
    assert [each[7:] for each in lines if each.startswith("event: ")] == WAY_TO_THE_END
    assert completed.status is models.OrderStatus.COMPLETED
    assert cancelled.status is models.OrderStatus.CANCELLED
    assert cancelled.cancellation.state is models.CancellationState.DONE
    assert refusal.error is models.ErrorCode.ORDER_NOT_FOUND
