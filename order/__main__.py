"""`python -m order`: run one instance of the order service."""

from chassis.run import main
from events.participants import PARTICIPANTS
from order.app import create_app
from order.settings import Settings

main("order", PARTICIPANTS["order"], Settings, create_app)
