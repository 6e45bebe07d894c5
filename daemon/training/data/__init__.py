"""The rows of a training: a revision in memory, and which of its rows train or judge."""
