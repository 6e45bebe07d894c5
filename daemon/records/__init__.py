"""Read-only questions to journal and history, for the command line and the HTTP workers alike, without SQLAlchemy."""
