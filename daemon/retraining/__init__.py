"""Retraining: the policy, the schedule, and the trainer's runs."""
