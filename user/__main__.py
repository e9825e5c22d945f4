"""`python -m user`: run one instance of the user service."""

from chassis.run import main
from events.participants import PARTICIPANTS
from user.app import create_app
from user.settings import Settings

main("user", PARTICIPANTS["user"], Settings, create_app)
