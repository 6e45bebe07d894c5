"""A webhook: each notice as a POST with JSON, signed as Standard Webhooks (standardwebhooks.com) defines it."""

import base64
import binascii
import hashlib
import hmac
import http.client
import time
import urllib.error
import urllib.request
from typing import Any

from retraind.daemon.notify.notice import Notice
from retraind.daemon.notify.targets.target import Undelivered

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

ENCODED = "whsec_"
"""Prefix of a key in base64, as other programs write it."""


class Webhook:
    """One address, and the key that signs what it gets."""

    name = "webhook"

    def __init__(self, url: str, key: str, timeout_seconds: float) -> None:
        self._url, self._key, self._timeout_seconds = url, _bytes(key), timeout_seconds
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, notice: Notice) -> None:
        """Send a notice; any answer but 2xx raises Undelivered."""
        body = notice.body()
        headers = signed(self._key, notice.token, int(time.time()), body) | {
            "Content-Type": "application/json",
            "User-Agent": "retraind",
        }
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310 - the settings allow http and https only
        try:
            with self._opener.open(request, timeout=self._timeout_seconds):
                return
        except urllib.error.HTTPError as error:
            error.close()
            where = " It redirects: write the final address." if error.code in range(300, 400) else ""
            raise Undelivered(f"It answered {error.code}.{where}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise Undelivered(f"It can't be reached: {reason or type(error).__name__}.") from None


def signed(key: bytes, token: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a signed body; `timestamp` in seconds since 1970."""
    content = f"{token}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {ID: token, TIMESTAMP: str(timestamp), SIGNATURE: f"v1,{signature}"}


def _bytes(key: str) -> bytes:
    if key.startswith(ENCODED):
        try:
            return base64.b64decode(key.removeprefix(ENCODED), validate=True)
        except binascii.Error:
            pass  # a text that only begins alike
    return key.encode()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a signed notice goes to the address in the settings only."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""
