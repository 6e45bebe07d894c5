"""Access over HTTP: tokens and their records."""
