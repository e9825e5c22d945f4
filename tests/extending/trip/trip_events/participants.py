"""The participants of a trip."""

PARTICIPANTS = {"flight": 8281, "hotel": 8282, "car": 8283}
"""Each participant's package, and the port of its HTTP server where the environment names none."""
