"""`python -m flight`: run one instance of the flight service."""

from chassis.run import main
from flight.app import create_app
from flight.settings import Settings
from trip_events.participants import PARTICIPANTS

main("flight", PARTICIPANTS["flight"], Settings, create_app)
