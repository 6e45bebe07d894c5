"""Settings of a leader that others stand by for: `leader`."""

from pydantic import Field, model_validator

from retraind.daemon.core.settings.section import Section


class Leader(Section):
    """Whether a second machine takes over when the leader is gone, and after how long."""

    standby: bool = Field(
        False,
        description="Machines with the same `journal.url` and `storage.url` share one home: one leads, and `retraind run` on the others stands by until it is gone. All need the same `retraind.toml`. Without it, a second `retraind run` on the same journal is refused.",
    )
    name: str = Field(
        "",
        max_length=100,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of this machine among those that share a journal. Empty: the name of the machine.",
    )
    beat_seconds: float = Field(
        1.0,
        ge=0.1,
        le=60,
        description="With `leader.standby`: interval (seconds) at which the leader writes that it works.",
    )
    stale_seconds: float = Field(
        3.0,
        ge=0.5,
        le=600,
        description="With `leader.standby`: time (seconds) without a beat, by the clock of the journal's server, after which a standby ends the leader's session and takes over.",
    )

    @model_validator(mode="after")
    def _leaves_room_for_a_late_beat(self) -> "Leader":
        if self.stale_seconds < 2 * self.beat_seconds:
            raise ValueError("leader.stale_seconds must be at least twice leader.beat_seconds")
        return self
