"""The engine that runs tasks on the workers of a Dask scheduler.

The training talks to it through `engine`, a process of its own through `dispatcher` with the scheduler, and `worker` is
what runs on scheduler and workers. Only `client` imports Dask.
"""
