"""`python -m dataplatform`: run one instance of the dataplatform service."""

from chassis.run import main
from dataplatform.app import create_app
from dataplatform.settings import Settings
from events.participants import PARTICIPANTS

main("dataplatform", PARTICIPANTS["dataplatform"], Settings, create_app)
