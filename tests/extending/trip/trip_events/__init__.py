"""The contract of the trip's choreography: its events, and the participants that share it."""
