"""`python -m payment`: run one instance of the payment service."""

from chassis.run import main
from events.participants import PARTICIPANTS
from payment.app import create_app
from payment.settings import Settings

main("payment", PARTICIPANTS["payment"], Settings, create_app)
