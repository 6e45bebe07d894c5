"""Settings of the inbox: `inbox`."""

from typing import Literal

from pydantic import Field, field_validator

from retraind.daemon.core.settings.section import Section
from retraind.daemon.core.settings.storage import bucket_url, server_address


class Inbox(Section):
    """How drops are noticed and limited."""

    url: str = Field(
        "",
        description="Prefix of a bucket, such as `s3://bucket/prefix`, whose objects are drops as well, beside the files of the folder. Taken objects are deleted there. Empty: none.",
    )
    endpoint: str = Field(
        "",
        description="Address of the S3-compatible server of `inbox.url`. Empty: that of `storage.endpoint`.",
    )
    settle_seconds: float = Field(
        0.5,
        ge=0,
        description="A file counts as finished after this quiet time (seconds) with no process writing to it.",
    )
    scan_seconds: float = Field(
        5.0,
        gt=0,
        description="The folder is listed at least this often (seconds), because file system events can be lost. The bucket of `inbox.url` is listed this often.",
    )
    max_bytes: int = Field(
        1_073_741_824,
        gt=0,
        description="Maximum size (bytes) of a drop. Larger ones are rejected before they are read.",
    )
    max_inflated_bytes: int = Field(
        4_294_967_296,
        gt=0,
        description="Maximum size (bytes) of a .csv.gz after decompression. A file that grows beyond it is rejected.",
    )
    batch_drops: int = Field(2000, gt=0, description="Maximum number of drops in one batch.")
    batch_bytes: int = Field(
        67_108_864,
        gt=0,
        description="Maximum total size (bytes) of the drops in one batch. It bounds memory. The others wait for the next batch.",
    )
    bad_rows: Literal["quarantine", "reject_file"] = Field(
        "quarantine",
        description="`quarantine` takes the good rows and saves the bad ones in inbox/rejected/NAME.*.bad.csv. `reject_file` rejects the whole file.",
    )
    max_bad_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Maximum share (0-1) of bad rows in a file whose good rows are taken. A file with more of them, and at least ten, is rejected whole. Rows without a label and late labels don't count. 1: any share.",
    )
    extra_columns: Literal["ignore", "reject", "add"] = Field(
        "reject",
        description="A column that the schema lacks: `ignore` it, `reject` the file, or `add` it to the schema.",
    )
    new_classes: Literal["accept", "quarantine"] = Field(
        "quarantine",
        description="A target value that is not a known class: `quarantine` the row (it is more often a typo), or `accept` it as a new class.",
    )
    new_categories: Literal["accept", "quarantine"] = Field(
        "accept",
        description="A category that the schema does not list: `accept` it into the schema, or `quarantine` the row.",
    )
    known_rows: Literal["count", "skip"] = Field(
        "count",
        description="Rows that the dataset already contains (all columns and the target): `count` them, or `skip` them.",
    )
    suspicious: Literal["accept", "hold"] = Field(
        "accept",
        description="A drop on which the served version does unusually badly: `accept` it and report it, or `hold` it until you decide.",
    )
    rejected_days: float = Field(
        90.0, ge=0, description="Age (days) at which files in inbox/rejected are removed. 0 keeps them."
    )

    _names_a_bucket = field_validator("url")(bucket_url)
    _is_an_address = field_validator("endpoint")(server_address)
