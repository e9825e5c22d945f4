"""The order service: accepts orders over HTTP, begins their sagas and stores how they ended."""
