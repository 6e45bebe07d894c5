"""A bucket as inbox: its objects are fetched into a folder of ours, taken as drops, and deleted after their outcome."""
