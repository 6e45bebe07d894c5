"""What hatchling does besides packing files: it writes the commit into the wheel and the source archive."""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface[Any]):
    """Writes the commit into `retraind/commit.txt` of what is built. Without a known commit, the file is left out."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a build; an editable one reads the checkout itself."""
        commit = self._commit()
        if version == "editable" or commit is None:
            return
        folder = tempfile.TemporaryDirectory(prefix="retraind-")
        self._folder = folder  # it is removed with this hook
        file = Path(folder.name, "commit.txt")
        file.write_text(f"{commit}\n", encoding="utf-8")
        build_data["force_include"][str(file)] = "retraind/commit.txt"

    def _commit(self) -> str | None:
        release = runpy.run_path(str(Path(self.root, "retraind", "release.py")))
        commit: str | None = release["COMMIT"]
        return commit
