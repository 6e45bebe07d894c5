"""Serving nodes: a leader says on the journal's server which version is to be served, and the agent of each node makes its home follow."""
