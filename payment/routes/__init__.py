"""The payment service's HTTP routes."""
