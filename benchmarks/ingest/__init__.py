"""How fast drops become rows of the dataset, and what that takes of the machine."""
