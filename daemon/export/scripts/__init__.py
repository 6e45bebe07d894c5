"""The scripts that exported folders get a copy of: they predict where retraind is not installed."""
