"""The local stack: the broker, Redis, simulators and the services under one supervisor.

    python -m infra.stack --help

Tools for people and tests. No service imports this package; it starts them and talks to them over
HTTP, like any client.
"""
