"""The pages of versions: all of them, one, and two compared."""
