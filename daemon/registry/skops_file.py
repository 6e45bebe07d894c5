"""Files of skops that are the same for the same object: skops names objects by their address, and dates its files."""

import io
import re
import zipfile
from typing import Any

import skops.io

SCHEMA = "schema.json"

OLDEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP archive can name."""


def untrusted(value: Any) -> list[str]:
    """The types in an object that skops does not trust by itself, sorted."""
    return sorted(skops.io.get_untrusted_types(data=skops.io.dumps(value)))


def reproducible(data: bytes) -> bytes:
    """The bytes of a skops file with numbers instead of addresses, and without times."""
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        files = {name: source.read(name) for name in source.namelist()}
    schema = files.pop(SCHEMA).decode()
    ids = {found: str(number) for number, found in enumerate(dict.fromkeys(re.findall(r'"__id__": (\d+)', schema)), 1)}
    names = {
        found: f"{number}{found[found.rindex('.') :]}"
        for number, found in enumerate(dict.fromkeys(re.findall(r'"file": "([^"]+)"', schema)), 1)
    }
    schema = re.sub(r'"__id__": (\d+)', lambda found: f'"__id__": {ids[found[1]]}', schema)
    schema = re.sub(r'"file": "([^"]+)"', lambda found: f'"file": "{names[found[1]]}"', schema)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as target:
        for name, content in [*((new, files[old]) for old, new in names.items()), (SCHEMA, schema.encode())]:
            target.writestr(zipfile.ZipInfo(name, OLDEST), content)
    return written.getvalue()
