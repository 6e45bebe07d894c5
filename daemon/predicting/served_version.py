"""The version that answers the rows of a file: loaded from the home, verified by the sha256 that the journal recorded."""

import sqlite3
from typing import NamedTuple

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.errors import BundleRefused, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.records.records import Records


class Version(NamedTuple):
    """A version, ready to answer."""

    number: int
    model: bundle.Model


def served(home: Home) -> int:
    """The number of the version that serves; raises NotFound if none does, BundleRefused for a damaged pointer."""
    pointer = bundle.read_pointer(home.pointer)
    if pointer is None:
        raise NotFound(
            f"No version serves in {home.root} yet.",
            hint="Is --home right? `retraind status` shows whether one is trained.",
        )
    return pointer.version


def load(home: Home, number: int) -> Version:
    """A judged version. Raises NotFound for an unknown or removed one, BundleRefused for a damaged one."""
    try:
        judged = Records(home).versions.get(number)
    except sqlite3.Error as error:
        raise BundleRefused(
            f"The journal of {home.root} can't be read: {error}.", hint="It has the sha256 of each version."
        ) from None
    if judged is None:
        raise NotFound(f"There is no version {number}.", hint="`retraind versions` lists them.")
    if bundle.cleared(home.bundle(number)):
        raise NotFound(f"The model files of version {number} were removed (promote.keep_versions).")
    return Version(number, bundle.load(home.bundle(number), judged["bundle"]))
