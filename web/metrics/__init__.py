"""Counters of a worker, and the sum of all workers' counters."""
