"""Rows and how they become numbers: schema, classes, notations, words, costs, scores and their names."""
