"""How fast and how evenly predictions are answered, beside peers, and while models are swapped."""
