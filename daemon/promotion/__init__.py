"""Which version serves: verdicts, requests, the pointer, fallback, the trial by late labels, and old versions."""
