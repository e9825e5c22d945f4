"""`python -m coupon`: run one instance of the coupon service."""

from chassis.run import main
from coupon.app import create_app

main("coupon", create_app)
