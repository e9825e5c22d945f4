"""Runs a participant of any choreography on NATS JetStream, SQL, Redis and HTTP."""
