"""Turns a file's bytes into typed, checked rows: splitting, kinds of columns, times, fingerprints, a first schema."""
