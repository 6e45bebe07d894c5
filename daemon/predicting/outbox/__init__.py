"""The outbox: unlabelled files from `inbox/predict` come back with answers and prediction ids, in a process of its own."""
