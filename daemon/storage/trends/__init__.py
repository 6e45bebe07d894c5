"""Writes the figures over time: `logs/trends.db`."""
