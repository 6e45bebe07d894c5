"""How good the winner is: holdouts, and the comparison with champion and baseline."""
