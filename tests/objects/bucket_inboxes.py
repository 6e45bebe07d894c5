"""Ingestion from a bucket, for tests: the courier's rounds are called, so that a test decides what happens when."""

from collections.abc import Iterator

from ingesting import HEADER, Parts, row
from stores import Bucket

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.settings import Settings
from retraind.daemon.inbox.bucket import object_names, opening
from retraind.daemon.inbox.bucket.bucket_inbox import BucketInbox
from retraind.daemon.objects.bucket_objects import BucketObjects
from retraind.daemon.schema.schema import Schema

PREFIX = "drops"


class BucketParts(Parts):
    """What ingestion works with, and a bucket. The courier's thread does not run."""

    def __init__(self, home: Home, bucket: Bucket, **limits: object) -> None:
        self.bucket, self.client = bucket, bucket.client
        self.url = f"s3://{bucket.name}/{PREFIX}"
        inbox = Limits.model_validate({"settle_seconds": 0.0, "scan_seconds": 1.0, "url": self.url, **limits})
        super().__init__(home, Settings(inbox=inbox, storage=bucket.settings.model_copy(update={"url": ""})))

    def open_inbox(self) -> BucketInbox:
        inbox, self.courier = opening.open_inbox(
            self.home, self.settings, lambda: None, None, self.journal, lambda: None
        )
        self.objects: BucketObjects = self.courier._bucket
        return inbox

    def round(self) -> None:
        """What the courier's thread does every `inbox.scan_seconds`."""
        self.courier._round()

    def take(self) -> None:
        """Fetch what is there, take it, delete it and record that."""
        for _ in range(2):
            self.round()
            self.run()

    def put(self, name: str, text: str | bytes) -> None:
        """Put an object below the prefix."""
        self.client.put_object(Bucket=self.bucket.name, Key=f"{PREFIX}/{name}", Body=text)

    @property
    def keys(self) -> list[str]:
        """The objects below the prefix, without what retraind itself puts there."""
        names = [one.name for one in self.objects.objects("", 10_000)]
        return [name for name in names if not name.startswith(object_names.OWN)]

    @property
    def leaving(self) -> list[str]:
        """The origins of the objects that the journal has as not deleted yet."""
        return self.journal.key_values.get("leaving objects") or []


def text(*lengths: float) -> str:
    """A drop with these rows."""
    return HEADER + "".join(map(row, lengths))


def hold(parts: BucketParts, name: str, content: str) -> str:
    """As if an exam had held it; its sha256."""
    sha256 = durable.sha256(content.encode())
    record = {"name": f"{parts.url}/{name}", "bytes": len(content), "rows_read": 1, "rows_known": 0, "version": 1}
    parts.journal.held.hold({**record, "sha256": sha256, "reason": "odd", "seen_at": None})  # type: ignore[typeddict-item]
    return sha256


def parts(home: Home, schema: Schema, bucket: Bucket) -> Iterator[BucketParts]:
    """Ingestion in a home of Iris; a fixture where it is named so."""
    assert schema
    made = BucketParts(home, bucket)
    yield made
    made.close()
