"""The chassis that every service stands on, and the local stack."""
