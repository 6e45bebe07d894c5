"""Settings of a serving node: `node`."""

from pydantic import Field

from retraind.daemon.core.settings.section import Section


class Node(Section):
    """The name of a home with `role = "node"`, and the time after which it takes itself out of rotation."""

    name: str = Field(
        "",
        max_length=100,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of a serving node, unique among the nodes of its leader. Empty: the name of the machine.",
    )
    max_stale_seconds: float = Field(
        0.0,
        ge=0,
        description="Time (seconds) without contact to the journal's server after which a node's `/readyz` is 503. 0: never.",
    )
