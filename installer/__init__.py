"""Makes an environment from a lock file: with uv, or with pip where uv cannot be had. Runs before anything is installed: standard library only."""
