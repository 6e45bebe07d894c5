"""The base of every section of the settings."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of `retraind.toml`; an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
