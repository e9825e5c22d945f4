"""`python -m dataplatform`: run one instance of the data platform's sender."""

import os

from chassis.run import main
from dataplatform.app import create_app

NICENESS = 5

os.nice(NICENESS)  # nobody waits for what it does: on a busy machine the orders go first
main("dataplatform", create_app)
