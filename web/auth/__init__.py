"""Who asks, and what they may: tokens, sessions, scopes of paths, and wrong tokens."""
