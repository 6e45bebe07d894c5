"""Settings of trainings on other machines: the part of `train` on the engine and its Dask scheduler."""

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from retraind.daemon.core.settings.section import Section


class Scheduled(Section):
    """The engine that compares candidates, and where its workers are."""

    engine: Literal["local", "dask"] = Field(
        "local",
        description="Where candidates are compared and tuned. `local`: on this machine. `dask`: on the workers of a Dask scheduler; needs `retraind[dask]`. Scores and models do not depend on it.",
    )
    scheduler: str = Field(
        "",
        description="Address of the Dask scheduler, such as `tls://dask.example:8786`. Who reaches a scheduler can run programs on its machine, its workers and this one.",
    )
    scheduler_ca: str = Field(
        "",
        description="File (PEM) of the authority that has signed the certificates of scheduler and workers. A relative path is below the home folder. It must sign no other certificates, because it alone decides who may run programs.",
    )
    scheduler_cert: str = Field(
        "", description="File (PEM) of the trainer's own certificate, signed by that authority."
    )
    scheduler_key: str = Field("", description="File (PEM) of the key to that certificate.")
    scheduler_insecure: bool = Field(
        False,
        description="Allow a scheduler on another machine without TLS. Then everybody on that network can run programs on this machine.",
    )
    shared_data: str = Field(
        "",
        description="Where workers find this home's folder `data/dataset`, such as a read-only mount. Empty: at the same path as here. Workers that lack the segments there get them from the object store.",
    )

    @field_validator("scheduler")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        if not address:
            return address
        try:
            parts = urlsplit(address)
            plain = parts.scheme in ("tls", "tcp") and parts.hostname and parts.port
        except ValueError:
            plain = False
        if not plain or "@" in parts.netloc or parts.path or parts.query or parts.fragment:
            raise ValueError("write tls://host:port, or tcp://host:port for a scheduler on this machine")
        return address

    @model_validator(mode="after")
    def _can_be_trusted(self) -> "Scheduled":
        if self.engine != "dask":
            return self
        if not self.scheduler:
            raise ValueError('train.engine = "dask" needs train.scheduler, such as tls://dask.example:8786')
        files = self.scheduler_ca, self.scheduler_cert, self.scheduler_key
        if self.scheduler.startswith("tls:"):
            if not all(files):
                raise ValueError("tls:// needs train.scheduler_ca, train.scheduler_cert and train.scheduler_key")
        elif any(files):
            raise ValueError("certificates are for tls://; tcp:// would use none of them")
        elif not (self.scheduler_insecure or is_loopback(self.scheduler)):
            raise ValueError(
                "a scheduler runs every program that is sent to it, and tcp:// lets everybody send one: use tls:// with "
                "certificates, or set train.scheduler_insecure = true if only trusted machines can reach that network"
            )
        return self


SCHEDULED = frozenset(Scheduled.model_fields)
"""The settings that change no model; they are not recorded with one."""


def is_loopback(address: str) -> bool:
    """Whether a scheduler's address is on this machine."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
