"""The local stack: the broker, Redis, simulators and the services under one supervisor.

    python -m infra.stack --help

For people and tests. No service imports this package: it starts the services and calls them over
HTTP, as any client does.
"""
