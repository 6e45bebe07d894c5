"""Drift: requests that differ from the training data, and a rise of the error on late labels."""
