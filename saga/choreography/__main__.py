"""`python -m saga.choreography`: write what follows from the flow, or check it."""

import sys

from saga.choreography.graph import main

sys.exit(main())
