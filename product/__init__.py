"""The product service: products and prices, stock, and what orders hold of it."""
