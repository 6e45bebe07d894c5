"""Forgets a drop: removes its rows from the dataset and, on request, from every other place in the home."""
