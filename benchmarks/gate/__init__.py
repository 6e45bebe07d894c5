"""What evaluation and gate let through, on worlds made in memory."""
