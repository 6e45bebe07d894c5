"""All sections together, and where their values come from."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from daemon.core.settings.inbox import Inbox
from daemon.core.settings.monitoring import Drift, Journal, Log, Predictions
from daemon.core.settings.promote import Promote
from daemon.core.settings.server import Server
from daemon.core.settings.train import Retrain, Train

PREFIX = "RETRAIND_"


class Settings(BaseSettings):
    """All settings of one home, validated and frozen."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True
    )

    # First: in TOML, a key that stands below a table would belong to that table.
    bootstrap: Literal["iris", "none"] = Field(
        "iris",
        description="What an empty home without a schema starts with. `iris`: the Iris data, so that /predict works at once.",
    )
    server: Server = Server()
    inbox: Inbox = Inbox()
    retrain: Retrain = Retrain()
    train: Train = Train()
    promote: Promote = Promote()
    drift: Drift = Drift()
    predictions: Predictions = Predictions()
    journal: Journal = Journal()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags (init arguments) over the environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def entries(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every setting as (dotted key, description, default), in order."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from entries(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field.description or "", field.get_default(call_default_factory=True)
