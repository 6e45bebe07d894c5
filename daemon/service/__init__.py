"""The running daemon: the composition root, the loop, its heartbeat and its checks of itself."""
