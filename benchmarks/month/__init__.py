"""A month of use in twenty minutes."""
