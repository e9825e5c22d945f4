"""Where the operators' commands find a shop: by environment variables, else the local stack.

    {SERVICE}_URL            a service's HTTP address: ORDER_URL=https://order.shop.test
    {SERVICE}_DATABASE_URL   its database (audit): sqlite+aiosqlite:///... or postgresql://...
    NATS_URL                 the broker, with a user who may read all streams
    OPS_TOKEN                the operators' token, where the services ask for one
    SHOPKEEPER_PASSWORD      of shopkeeper@shop.test (load), where requests are signed in
    GATEWAY_URL              the payment gateway, if it gives a statement for the audit
    PLATFORM_URL             the data platform, likewise

An address of a service that is not the local stack's names another deployment. Then each address
that a command needs has to be named, so that no command mixes two deployments.
"""

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec
from nats.aio.client import Client

from chassis.settings import broker_settings
from infra.stack import broker, config, passwords
from infra.stack.config import SERVICES, Stack, StackError


class Deployment(msgspec.Struct, frozen=True):
    """A shop. `stack` is the local stack; None: the addresses are those of `environment`."""

    environment: Mapping[str, str]
    stack: Stack | None

    def url(self, service: str) -> str:
        """Raises StackError where the address is not set."""
        if self.stack:
            return self.stack.url(service)
        self.require([f"{service.upper()}_URL"])
        return self.environment[f"{service.upper()}_URL"].rstrip("/")

    def database_url(self, service: str) -> str:
        """Raises StackError where it is not set."""
        name = f"{service.upper()}_DATABASE_URL"
        if self.stack:
            return self.stack.database_url(service, self.environment)
        self.require([name])
        return self.environment[name]

    @property
    def gateway_url(self) -> str | None:
        return self.stack.gateway_url if self.stack else self.environment.get("GATEWAY_URL")

    @property
    def platform_url(self) -> str | None:
        """The address of a platform that gives a statement."""
        if self.stack:
            return self.stack.url("platform") if self.stack.simulates_platform else None
        return self.environment.get("PLATFORM_URL")

    @property
    def headers(self) -> dict[str, str]:
        """What a request to an operators' route has to carry."""
        if self.stack:
            token = passwords.ops_token(self.stack, self.environment)
        else:
            token = self.environment.get("OPS_TOKEN")
        return {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def shopkeepers_password(self) -> str | None:
        """Of shopkeeper@shop.test, for commands that act for customers. None: no sign-in."""
        name = passwords.persons_variable("shopkeeper")
        if self.stack is None:
            return self.environment.get(name)
        return passwords.of_sign_in(self.stack.state_dir)[name] if self.stack.auth else None

    def require(self, names: Iterable[str]) -> None:
        """Raise StackError that names all of these variables that are not set."""
        missing = [name for name in names if not self.environment.get(name)]
        if self.stack or not missing:
            return
        if any(self.environment.get(f"{service.upper()}_URL") for service in SERVICES):
            raise StackError(
                f"Not set: {', '.join(missing)}. Name all addresses of the deployment: "
                "docs/operations.md"
            )
        raise StackError(
            "The stack is not running. Run: make up. Or name another deployment's addresses "
            f"({', '.join(missing)}): docs/operations.md"
        )


def find(environment: Mapping[str, str] = os.environ) -> Deployment:
    """The deployment that these variables name."""
    stack = config.recorded(config.state_dir(environment))
    return Deployment(environment, stack if stack and _is_meant(stack, environment) else None)


def _is_meant(stack: Stack, environment: Mapping[str, str]) -> bool:
    named = ((each, environment.get(f"{each.upper()}_URL")) for each in SERVICES)
    return all(not url or url.rstrip("/") == stack.url(service) for service, url in named)


@asynccontextmanager
async def observing(deployment: Deployment) -> AsyncIterator[Client]:
    """A connection to the broker that may read. Raises NatsError, OSError and TimeoutError."""
    if deployment.stack:
        settings = broker.access(deployment.stack, "observer")
    else:
        deployment.require(["NATS_URL"])
        settings = broker_settings(deployment.environment)
    async with broker.connected(settings) as client:
        yield client
