"""Trainings on more rows than memory holds: the rows stay in their segments and are read piece by piece."""
