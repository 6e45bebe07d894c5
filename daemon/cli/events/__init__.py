"""The command events: what happened, by number, and who has seen to it."""
