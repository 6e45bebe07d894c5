"""Exports a version: the folder of a format, written in one step and checked before it gets its name."""

import zipfile
from pathlib import Path
from typing import TypedDict

from retraind.daemon.core.home import Home
from retraind.daemon.export import exported_version, writing
from retraind.daemon.export.format_names import Format


class Facts(TypedDict):
    """What was exported: its rows were compared with the service's answers, and differ by at most `difference`."""

    version: int
    format: str
    folder: str
    files: list[str]
    rows: int
    difference: float


def export(home: Home, number: int, form: Format, out: Path) -> Facts:
    """Write a version in a format to the folder `out`, which must not exist or be empty.

    Raises NotFound, NotExportable, BundleRefused, BadSettings; then `out` is as before.
    """
    with writing.folder(out) as folder:
        version = exported_version.find(home, number)
        # Imported here: whoever asks for a version that is not there need not wait for scikit-learn.
        from retraind.daemon.export import formats, model_card

        checked = formats.write(version, form, folder)
        (folder / "MODEL_CARD.md").write_text(model_card.text(version), encoding="utf-8")
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {
        "version": number,
        "format": form.value,
        "folder": str(out),
        "files": files,
        "rows": len(checked.rows),
        "difference": checked.difference,
    }


def archive(home: Home, number: int, form: Format, file: Path) -> None:
    """The same as one ZIP file, whose single folder is named for version and format; raises as `export`."""
    folder = file.parent / f"retraind-{number}-{form.value}"
    files = export(home, number, form, folder)["files"]
    with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as target:
        for name in files:
            entry = zipfile.ZipInfo(f"{folder.name}/{name}")  # of 1980, so the bytes are the same each time
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            target.writestr(entry, (folder / name).read_bytes())
