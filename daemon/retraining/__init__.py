"""When to train, and what the daemon does about it: policy, schedule, and the run of a trainer."""
