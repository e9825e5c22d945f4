"""`python -m order`: run one instance of the order service."""

from chassis.run import main
from order.app import create_app

main("order", create_app)
