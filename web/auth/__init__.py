"""Callers and what they may do: tokens, sessions, scopes of paths, and failed tokens."""
