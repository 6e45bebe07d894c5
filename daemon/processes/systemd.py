"""Notifications to systemd: ready, alive, status, stopping (sd_notify(3)).

Without `$NOTIFY_SOCKET` in the environment nothing is sent.
"""

import os
import socket


def notify(**fields: object) -> None:
    """Send fields such as READY=1 or STATUS=…; it is not an error if the manager does not listen."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    message = "\n".join(f"{key}={value}" for key, value in fields.items()).encode()
    # A leading @ means the abstract namespace, in which names begin with a zero byte.
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(message, target)
        except OSError:
            return
