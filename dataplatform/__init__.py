"""The data platform's sender: delivers every completed order to an external system."""
