"""Which model wins: candidates, cross-validation, tuning and calibration."""
