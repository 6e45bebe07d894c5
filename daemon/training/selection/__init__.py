"""Selects the winning model: candidates, cross-validation, tuning and calibration."""
