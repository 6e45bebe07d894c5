"""The leader of a journal on a server: its identity, and what its standbys and its readers know of it."""
