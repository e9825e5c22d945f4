"""`python -m coupon`: run one instance of the coupon service."""

from coupon.app import create_app
from infra.run import main

main("coupon", create_app)
