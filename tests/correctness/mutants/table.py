"""All mutants, and what has to catch each of them."""

from tests.correctness.mutants import (
    chassis,
    external_systems,
    outbox,
    processing,
    recovery,
    services,
    stock_queues,
)

MUTANTS = (
    *services.MUTANTS,
    *stock_queues.MUTANTS,
    *external_systems.MUTANTS,
    *processing.MUTANTS,
    *outbox.MUTANTS,
    *chassis.MUTANTS,
    *recovery.MUTANTS,
)
