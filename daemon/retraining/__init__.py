"""Retraining: policy, schedule, and the runs of the trainer."""
