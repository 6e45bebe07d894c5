"""Evaluates the winner: holdouts, and the comparison with champion and baseline."""
