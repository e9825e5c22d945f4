"""`python -m product`: run one instance of the product service."""

from chassis.run import main
from events.participants import PARTICIPANTS
from product.app import create_app
from product.settings import Settings

main("product", PARTICIPANTS["product"], Settings, create_app)
