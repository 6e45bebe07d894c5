"""A drop is forgotten: its rows leave the dataset and, on request, every other place in the home."""
