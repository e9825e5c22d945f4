"""A service's database: its writer, its readers, statements and tables."""
