"""The trip, as the model checker, the simulation and the audit need it."""
