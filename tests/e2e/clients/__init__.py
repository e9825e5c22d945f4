"""Clients that are generated from the OpenAPI documents, at work on a stack."""
