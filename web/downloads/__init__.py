"""Files that a process of its own makes for a client, because a worker imports none of the libraries that they need."""
