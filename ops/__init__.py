"""What operators use: the audit, traces of orders, dead letters."""
