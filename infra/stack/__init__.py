"""The local stack: the broker, Redis and the four services under one supervisor.

    python -m infra.stack --help

Tools for people and tests. No service imports this package; it starts them and talks to them over
HTTP, like any client.
"""
