"""Questions to a journal on a PostgreSQL server, and the driver."""
