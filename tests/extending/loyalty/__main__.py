"""`python -m loyalty`: run one instance of the loyalty service."""

from chassis.run import main
from loyalty.app import create_app

main("loyalty", create_app)
