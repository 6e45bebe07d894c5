"""Decides which version serves: verdicts, requests, the pointer, fallback, the trial by late labels, old versions."""
