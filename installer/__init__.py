"""Makes an environment from a lock file: with uv, or with pip if uv is not available.

It runs before anything is installed, so it only uses the standard library.
"""
