"""The shop's simulation: its services, a payment gateway, and what can go wrong with it."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from chassis.participant import Participant
from coupon.app import participant as coupon
from order.app import participant as order
from payment.app import participant as payment
from product.app import participant as product
from tests.correctness.simulation.faults import Fault, Inject
from tests.correctness.simulation.machines import Cluster
from tests.correctness.simulation.shop.gateway import GatewayRecords
from tests.correctness.simulation.shop.workload import ShopWorkload
from user.app import participant as user


async def _gateway_trouble(cluster: Cluster, fault: Fault) -> None:
    gateway = _gateway(cluster)
    gateway.trouble = 0.7
    await asyncio.sleep(fault.seconds)
    gateway.trouble = 0.0


async def _gateway_refuses(cluster: Cluster, fault: Fault) -> None:
    gateway = _gateway(cluster)
    gateway.refuses = 0.8
    await asyncio.sleep(fault.seconds)
    gateway.refuses = 0.0


def _gateway(cluster: Cluster) -> GatewayRecords:
    assert isinstance(cluster.external, GatewayRecords)
    return cluster.external


class ShopSimulation:
    saga = "order"
    participants: Mapping[str, Participant[Any]] = {
        "order": order,
        "product": product,
        "coupon": coupon,
        "payment": payment,
        "user": user,
    }
    environment: Mapping[str, str] = {
        "ORDER_TIMEOUT_SECONDS": "8",
        "WAIT_TIMEOUT_SECONDS": "6",
        "REPEAT_AFTER_SECONDS": "3",
        "PATIENCE_SECONDS": "1",
    }
    faults: Mapping[str, Inject] = {
        "the gateway has trouble": _gateway_trouble,
        "the gateway refuses refunds": _gateway_refuses,
    }

    def external_systems(self, chance: random.Random) -> GatewayRecords:
        return GatewayRecords(chance)

    def workload(self, cluster: Cluster, busy_seconds: float) -> ShopWorkload:
        _gateway(cluster).hub = cluster.hub
        return ShopWorkload(cluster, busy_seconds)


SIMULATION = ShopSimulation()
