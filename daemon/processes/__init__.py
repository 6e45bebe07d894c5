"""Processes and sockets: the trainer, the HTTP workers, who keeps them alive, systemd, and signals."""
