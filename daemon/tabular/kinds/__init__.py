"""Kinds of columns: guesses from their cells, notations from an example, remarks on columns that are nearly of a kind."""
