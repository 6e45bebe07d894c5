"""Opens the object store of the settings; without `storage.url` none of its modules is imported."""

from importlib.util import find_spec

from daemon.core.errors import BadSettings
from daemon.core.settings.storage import Storage
from daemon.objects.store import ObjectStore


def open_store(settings: Storage) -> ObjectStore | None:
    """The store of `storage.url`, None if there is none; raises BadSettings without botocore, StoreUnavailable.

    No request is sent yet.
    """
    if not settings.url:
        return None
    if find_spec("botocore") is None:
        raise BadSettings(
            "storage.url is set, but the package botocore is not installed.", hint="Install retraind[s3], or botocore."
        )
    from daemon.objects.s3 import S3Store

    return S3Store(settings.url, settings.endpoint, settings.timeout_seconds)
