"""From a delivered message or a client's command to its commit."""
