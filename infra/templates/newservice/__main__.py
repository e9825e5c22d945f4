"""`python -m newservice`: run one instance of the newservice service."""

from chassis.run import main
from events.participants import PARTICIPANTS
from newservice.app import create_app
from newservice.settings import Settings

main("newservice", PARTICIPANTS["newservice"], Settings, create_app)
