"""The connection to NATS JetStream: streams, consumers, publishing, notifications."""
