"""`python -m payment`: run one instance of the payment service."""

from chassis.run import main
from payment.app import create_app

main("payment", create_app)
