"""Writes to the databases of a home: the journal with its tables and migrations, and the prediction history."""
