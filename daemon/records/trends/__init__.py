"""Reads the figures over time, and what the journal adds to them."""
