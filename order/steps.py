"""How clients see an event of an order: the same in its trace and in its live stream."""

from chassis.ports import StoredMessage
from chassis.web.schemas import View
from saga import envelope


class Step(View):
    """An event of an order. `cause` is the id of the event whose handling emitted it."""

    name: str
    service: str
    time: str
    id: str
    cause: str | None


class TracedStep(Step):
    """An event of a trace. `times`: how often it was published; more than once is rare."""

    times: int


def step_of(message: StoredMessage, event_id: str) -> Step:
    headers = message.headers
    return Step(
        name=envelope.name_in(message.subject),
        service=headers.get(envelope.SOURCE, ""),
        time=headers.get(envelope.TIME, ""),
        id=event_id,
        cause=headers.get(envelope.CAUSE),
    )
