"""The data platform's sender: every completed order goes to an outside system, once it is there."""
