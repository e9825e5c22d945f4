"""`python -m hotel`: run one instance of the hotel service."""

from chassis.run import main
from hotel.app import create_app
from hotel.settings import Settings
from trip_events.participants import PARTICIPANTS

main("hotel", PARTICIPANTS["hotel"], Settings, create_app)
