"""The order service: accepts orders over HTTP, begins their sagas and knows how they ended."""
