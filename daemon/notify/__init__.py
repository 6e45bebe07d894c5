"""Notices to people: grouped from the journal's events, recorded when they fall due, and sent in threads of their own."""
