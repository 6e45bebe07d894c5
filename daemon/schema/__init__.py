"""Rows and how they become numbers: schema, classes, notations, words, costs, and the names of scores."""
