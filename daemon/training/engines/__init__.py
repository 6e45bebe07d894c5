"""Engines that run the tasks of a training in other processes."""
