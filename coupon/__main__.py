"""`python -m coupon`: run one instance of the coupon service."""

from chassis.run import main
from coupon.app import create_app
from coupon.settings import Settings
from events.participants import PARTICIPANTS

main("coupon", PARTICIPANTS["coupon"], Settings, create_app)
