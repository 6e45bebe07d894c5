"""A real Chromium for tests, driven over its debugging pipe: pages, clicks, what was requested, what was complained of."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-pipe"
)


class Browser:
    """One page; `requests` are the addresses that it has asked, `complaints` what its console says."""

    def __init__(self, profile: Path, width: int = 1280) -> None:
        assert CHROMIUM, "there is no chromium on this machine"
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # Chromium reads commands from descriptor 3 and answers at 4; both ends carry JSON, each text closed by a zero.
        pipes = ["bash", "-c", f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}', CHROMIUM]
        command = [*pipes, *FLAGS.split(), f"--user-data-dir={profile}", f"--window-size={width},1000"]
        log = profile.with_suffix(".log").open("wb")
        self._process = subprocess.Popen(command, pass_fds=[theirs_in, theirs_out], stdout=log, stderr=log)
        for fd in (theirs_in, theirs_out):
            os.close(fd)
        self._rest = b""
        self._serial = 0
        self._session = ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of a command of the DevTools protocol; events on the way are noted."""
        self._serial += 1
        session = {"sessionId": self._session} if self._session else {}
        text = json.dumps({"id": self._serial, "method": method, "params": parameters, **session})
        os.write(self._out, text.encode() + b"\0")
        while (message := self._read()).get("id") != self._serial:
            self._note(message)
        assert "error" not in message, message
        return message["result"]

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def wait(self, expression: str, seconds: float = 60) -> Any:
        """The first true value of a JavaScript expression."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")
            if value:
                return value
            assert time.monotonic() < deadline, (expression, self.complaints)
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        """Click what the selector finds, once it is there."""
        self.wait(
            f"document.querySelector({json.dumps(selector)})?.click() || !!document.querySelector({json.dumps(selector)})"
        )

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 65_536)
            assert part, "the browser is gone"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
