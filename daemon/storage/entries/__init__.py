"""The journal's entries: one module for each noun, all over the same connection."""
