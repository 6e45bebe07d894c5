"""Rows and their encoding as numbers: schema, classes, notations, words, costs, scores and their names."""
