"""`make status`: what runs, whether it is ready, and each consumer's lag."""

from functools import partial

import httpx
from rich.console import Console

from infra.stack import processes, status, tables
from infra.stack.config import SERVICES
from ops.deployment import Deployment, observing

_TIMEOUT_SECONDS = 5.0


def show(shop: Deployment, console: Console) -> bool:
    """True when everything is ready. Of the local stack, the processes are shown too.

    Raises StackError where an address is not set, and where the local stack does not run.
    """
    if shop.stack:
        return status.show(processes.running_stack(), console)
    shop.require(["NATS_URL", *(f"{service.upper()}_URL" for service in SERVICES)])
    answers = {service: _readiness(shop.url(service)) for service in SERVICES}
    rows = [(service, shop.url(service), answer) for service, answer in answers.items()]
    tables.show(console, ("service", "address", "ready"), rows, title="Services")
    status.show_broker(partial(observing, shop), console)
    return set(answers.values()) == {"yes"}


def _readiness(url: str) -> str:
    try:
        answer = httpx.get(f"{url}/health/ready", timeout=_TIMEOUT_SECONDS, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"no answer ({type(error).__name__})"
    return "yes" if answer.is_success else f"no (HTTP {answer.status_code})"
