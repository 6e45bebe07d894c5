"""Queries of a journal on a PostgreSQL server, with the driver."""
