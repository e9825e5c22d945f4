"""`python -m dataplatform`: run one instance of the dataplatform service."""

import os

from chassis.run import main
from dataplatform.app import create_app
from dataplatform.settings import Settings
from events.participants import PARTICIPANTS

NICENESS = 5

os.nice(NICENESS)  # no order waits for this service, so the others get the cores first
main("dataplatform", PARTICIPANTS["dataplatform"], Settings, create_app)
