"""Targets of notices: a webhook, a command, and the addresses that Apprise knows."""
