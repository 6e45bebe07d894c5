"""What runs in the trainer process: a revision becomes a fitted, evaluated, exported and registered version."""
