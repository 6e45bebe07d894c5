"""Checks of rows with and without a label: bad cells, bad rows and their report."""
