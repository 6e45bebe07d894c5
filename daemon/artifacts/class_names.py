"""Names of our classes in the skops files of bundles: `daemon.model`, although Python imports `retraind.daemon.model`.

They are the names that every release has written. So a home can go back to an earlier one, and a serving node of an
earlier release loads the versions of its leader.
"""

import io
import re
import zipfile
from collections.abc import Callable

Replacement = bytes | Callable[[re.Match[bytes]], bytes]

SCHEMA = "schema.json"
"""The file in skops' archive that has the names; the others are arrays."""

# A quotation mark in a text of the model itself has a backslash before it.
STORED = re.compile(rb'("__module__": )"daemon\.')
IMPORTED = re.compile(rb'("__module__": )"retraind\.daemon\.')


def stored(data: bytes) -> bytes:
    """The file of skops with the names that bundles have."""
    return renamed(data, IMPORTED, rb'\1"daemon.')


def imported(data: bytes) -> bytes:
    """The file of skops with the names that Python imports; passes on BadZipFile."""
    return renamed(data, STORED, rb'\1"retraind.daemon.')


def renamed(data: bytes, names: re.Pattern[bytes], replacement: Replacement) -> bytes:
    """The file of skops with other names, where `names` matches; passes on BadZipFile."""
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        schema = files.read(SCHEMA)
        changed = names.sub(replacement, schema)
        if changed == schema:
            return data
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w") as target:
            for entry in files.infolist():
                target.writestr(entry, changed if entry.filename == SCHEMA else files.read(entry))
    return copy.getvalue()
