"""Modules that an exported folder gets a copy of: they predict where retraind is not installed."""
