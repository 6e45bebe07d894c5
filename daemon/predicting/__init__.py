"""Predicts the rows of files: reads and checks them like drops, and writes the answers and the bad rows, each to a file."""
