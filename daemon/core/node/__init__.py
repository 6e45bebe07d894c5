"""Serving nodes: the messages between leader and nodes, and from a node to its workers."""
