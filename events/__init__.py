"""This shop's contract: every event that its services exchange, and the services themselves."""
