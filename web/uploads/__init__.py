"""Drops sent over HTTP: the request, the partial file in the inbox, and the answers."""
