"""Writes a home to one file, and restores it."""
