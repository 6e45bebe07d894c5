"""The journal on a PostgreSQL server: its tables, the session that writes it, and copies from and to the file."""
