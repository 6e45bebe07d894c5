"""Serving nodes: a leader names the version to serve on the journal's server, and the agent of each node follows."""
