"""Read-only queries of journal and history, for the command line and the HTTP workers alike, without SQLAlchemy."""
