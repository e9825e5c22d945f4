"""`python -m car`: run one instance of the car service."""

from car.app import create_app
from car.settings import Settings
from chassis.run import main
from trip_events.participants import PARTICIPANTS

main("car", PARTICIPANTS["car"], Settings, create_app)
