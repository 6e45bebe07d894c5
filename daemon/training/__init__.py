"""The code of the trainer process: it turns a revision into a fitted, evaluated, exported and registered version."""
