"""Measurements of the real service; docs/benchmarks.md says what each one means."""
