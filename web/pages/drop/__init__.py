"""The page of a drop: its outcome, its rejected rows, and its columns beside the usual ones."""
