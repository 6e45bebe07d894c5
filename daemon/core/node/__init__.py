"""Serving nodes: what leader and nodes say to each other, and what a node says to its workers."""
