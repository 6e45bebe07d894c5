"""Opens the inbox's bucket, `inbox.url`."""

import os
from collections.abc import Callable

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.settings import Settings
from retraind.daemon.inbox.bucket import object_names
from retraind.daemon.inbox.bucket.bucket_inbox import BucketInbox, Transfer
from retraind.daemon.inbox.bucket.courier import Courier
from retraind.daemon.inbox.bucket.shelf import Shelf
from retraind.daemon.inbox.bucket.staging import Staging
from retraind.daemon.inbox.settling import Settling
from retraind.daemon.objects.bucket_objects import BucketObjects
from retraind.daemon.objects.ownership import OwnedStore
from retraind.daemon.objects.s3 import S3Store
from retraind.daemon.storage.journal import Journal

VARIABLES = {
    "aws_access_key_id": "RETRAIND_INBOX_ACCESS_KEY_ID",
    "aws_secret_access_key": "RETRAIND_INBOX_SECRET_ACCESS_KEY",
    "aws_session_token": "RETRAIND_INBOX_SESSION_TOKEN",
}
"""Variables with credentials for this bucket only; without them it has those of `storage.url`."""

ROUNDS = 2
"""Batches whose objects are fetched ahead."""


def open_bucket(settings: Settings) -> BucketObjects:
    """The bucket of `inbox.url`; raises StoreUnavailable. No request is sent yet."""
    inbox, storage = settings.inbox, settings.storage
    return BucketObjects(inbox.url, inbox.endpoint or storage.endpoint, storage.timeout_seconds, keys())


def open_own(settings: Settings) -> S3Store:
    """The folder of ours below the prefix."""
    inbox, storage = settings.inbox, settings.storage
    return S3Store(
        f"{inbox.url}/{object_names.OWN}", inbox.endpoint or storage.endpoint, storage.timeout_seconds, keys()
    )


def keys() -> dict[str, str]:
    """The credentials of VARIABLES, as arguments of botocore's client."""
    return {argument: os.environ[name] for argument, name in VARIABLES.items() if os.environ.get(name)}


def open_inbox(
    home: Home,
    settings: Settings,
    wake: Callable[[], None],
    settling: Settling | None,
    journal: Journal,
    may_delete: Callable[[], object],
) -> tuple[BucketInbox, Courier]:
    """The inbox, and its courier, which the caller starts and closes; raises StoreUnavailable.

    Call while holding the home's lock. `may_delete` raises once another machine leads.
    """
    limits = settings.inbox
    shelf = Shelf(ROUNDS * limits.batch_drops, ROUNDS * limits.batch_bytes)
    staging, bucket = Staging(home), open_bucket(settings)
    owner = OwnedStore(open_own(settings), journal_server.settle_identity(home), home)
    courier = Courier(
        bucket,
        limits.url,
        shelf,
        staging,
        wake,
        seconds=limits.scan_seconds,
        max_bytes=limits.max_bytes,
        may_take=owner.check,
        may_delete=may_delete,
    )
    return BucketInbox(home, limits, wake, settling, Transfer(shelf, staging, courier), journal), courier
