"""Notation: how cells are written that say nothing. Level 1, pure, for `schema`, `kinds` and `survey`."""

CERTAIN = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")
"""Texts that programs write for a missing value and hardly anybody for something else."""

DOUBTFUL = ("None", "none", "na", "?", "-", "--", ".")
"""Texts that stand for a missing value in one file and for a name in another, as in a column of + and -."""

MARKERS = frozenset((*CERTAIN, *DOUBTFUL))
"""What `init` takes for a missing value where the other cells leave no doubt."""
