"""How long a training takes, and how good its model is beside others."""
