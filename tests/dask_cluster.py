"""A Dask cluster with certificates, whose fits a test can hold."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from certificates import Authority

from benchmarks.dask_cluster import DaskCluster


class HeldCluster(DaskCluster):
    """Scheduler and workers with certificates of an authority; crashing:Held waits on its workers while `held`."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._authority = authority
        super().__init__(folder, self._options, {"CRASHING_HELD": str(folder)})

    def _options(self, part: str) -> list[str]:
        signed = self._authority.sign(part)
        files = "--tls-cert", str(signed.certificate), "--tls-key", str(signed.key)
        return ["--tls-ca-file", str(self._authority.certificate), *files]

    def settings(self, authority: Authority | None = None) -> dict[str, Any]:
        """Settings of trainings that use it, with a certificate of its own authority, or of another."""
        authority = authority or self._authority
        trainer = authority.sign("trainer")
        files = {"ca": authority.certificate, "cert": trainer.certificate, "key": trainer.key}
        chosen = {f"scheduler_{name}": str(file) for name, file in files.items()}
        return {"engine": "dask", "scheduler": self.address, **chosen}

    @contextlib.contextmanager
    def held(self) -> Iterator[Callable[[], list[int]]]:
        """Hold the fits of crashing:Held; gives the processes that wait in one."""
        hold = self.folder / "hold"
        hold.touch()
        try:
            yield self._waiting
        finally:
            hold.unlink()
            for pid in self._waiting():
                (self.folder / str(pid)).unlink()

    def _waiting(self) -> list[int]:
        return [int(path.name) for path in self.folder.iterdir() if path.name.isdigit()]
