"""Turns the drops of a batch into checked rows: files, joined small files, late labels; counts or skips known rows."""
