"""Tables as bodies."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from retraind.web.columnar.formats import Format


def packed(form: Format, table: pa.Table, compression: str | None = None) -> bytes:
    """A table in a format."""
    buffer = io.BytesIO()
    if form is Format.PARQUET:
        pq.write_table(table, buffer, compression=compression or "none")
    else:
        options = pa.ipc.IpcWriteOptions(compression=compression)
        make = pa.ipc.new_stream if form is Format.STREAM else pa.ipc.new_file
        with make(buffer, table.schema, options=options) as writer:
            writer.write_table(table)
    return buffer.getvalue()
