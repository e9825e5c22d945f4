"""The newservice service: counts the completed orders of each customer."""
