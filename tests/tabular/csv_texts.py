"""The columns of the CSV texts in these tests."""

WANTED = ["size", "note"]


HEADER = "size,note\n"
