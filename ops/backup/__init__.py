"""Backups of the services' databases: making, checking and restoring them."""
