"""Gathers figures over time from workers, predictions, journal and status, and stores them."""
