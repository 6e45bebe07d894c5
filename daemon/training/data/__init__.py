"""The rows of a training: a revision in memory, and the roles of its rows (train or judge)."""
