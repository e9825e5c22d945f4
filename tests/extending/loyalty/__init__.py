"""The loyalty service: points for completed orders, taken back when an order is cancelled."""
