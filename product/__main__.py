"""`python -m product`: run one instance of the product service."""

from chassis.run import main
from product.app import create_app

main("product", create_app)
