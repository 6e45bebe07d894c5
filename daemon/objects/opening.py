"""Opens the object store of the settings; without `storage.url` none of its modules is imported."""

from importlib.util import find_spec

from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.settings.storage import Storage
from retraind.daemon.objects.store import ObjectStore


def open_store(settings: Storage) -> ObjectStore | None:
    """The store of `storage.url`, None if there is none; raises BadSettings without botocore, StoreUnavailable.

    No request is sent yet.
    """
    if not settings.url:
        return None
    require_botocore("storage.url")
    from retraind.daemon.objects.s3 import S3Store

    return S3Store(settings.url, settings.endpoint, settings.timeout_seconds)


def require_botocore(setting: str) -> None:
    """Raise BadSettings if the package is missing that a setting needs."""
    if find_spec("botocore") is None:
        raise BadSettings(
            f"{setting} is set, but the package botocore is not installed.", hint="Install retraind[s3], or botocore."
        )


def owned(store: ObjectStore | None, home: Home) -> ObjectStore | None:
    """The store, in which objects are put and deleted only if the home's journal owns it; None without one.

    Call while holding the home's lock, once the home has its journal. No request is sent yet.
    """
    if store is None:
        return None
    from retraind.daemon.objects.ownership import OwnedStore

    return OwnedStore(store, journal_server.settle_identity(home), home)
