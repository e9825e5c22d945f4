"""What the services run on: the broker, the local stack, simulated external systems."""
