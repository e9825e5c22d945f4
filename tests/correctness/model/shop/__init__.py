"""The shop, as the model checker needs it: its rows, gateway, scenarios and invariants."""

from tests.correctness.model.shop.model import MODEL

__all__ = ["MODEL"]
