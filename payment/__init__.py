"""The payment service: wallets, their ledger, and the payments of orders."""
