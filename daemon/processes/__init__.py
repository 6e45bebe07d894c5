"""Processes and sockets: the trainer, the HTTP workers, their supervision, systemd, and signals."""
