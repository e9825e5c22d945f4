"""The graph of a choreography: its checks, its diagram, and the broker's permissions."""
