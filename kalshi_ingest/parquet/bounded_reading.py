"""Parquet files from anywhere, read in bounded memory: a file of a few kilobytes can unfold to terabytes."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kalshi_ingest.errors import Unusable

MOST_TEXT = 64 * 2**20
"""Bytes of one column in the rows that are in memory at a time; the exchange's longest objects take 5 MB."""
MOST_UNPACKED = 256 * 2**20
"""Bytes of one column in a row group; ours take 50 MB."""

_READ_AHEAD = 128 * 1024
"""Bytes per column: while one city is written and the next is checked, seventy columns are being read at a time."""


class BoundedFile:
    """A Parquet file whose columns of text are measured before they are decoded.

    Repeated text is stored once, with an index per row. It is read that way, measured, and only then decoded. The
    stated size of all other pages is believed.
    """

    def __init__(self, path: str, source: pa.NativeFile) -> None:
        """`path` names it in errors. Raises `Unusable` for a column that unpacks to more than `MOST_UNPACKED`."""
        self._path = path
        # Without these two options whole columns of a row group, or the whole file, are held in memory.
        options: dict[str, Any] = {"pre_buffer": False, "buffer_size": _READ_AHEAD}
        self._file = pq.ParquetFile(source, **options)
        self.schema_arrow = self._file.schema_arrow
        if repeated := self._repeated():
            metadata = self._file.metadata
            self._file = pq.ParquetFile(source, metadata=metadata, read_dictionary=repeated, **options)

    def close(self) -> None:
        self._file.close()

    def iter_batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows, so many at a time. Raises `Unusable` when they hold more text than `MOST_TEXT` in a column."""
        names = None if columns is None else list(columns)
        for batch in self._file.iter_batches(rows, columns=names, use_threads=False):
            arrays = [self._plain(name, array) for name, array in zip(batch.schema.names, batch.columns, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)

    def _repeated(self) -> list[str]:
        """The columns of text that are stored that way."""
        found: dict[str, None] = {}
        metadata = self._file.metadata
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                name = column.path_in_schema
                if column.total_uncompressed_size > MOST_UNPACKED:
                    self._refuse(name, f"unpacks to more than {MOST_UNPACKED // 2**20} MB")
                if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
                    found[name] = None
        return list(found)

    def _plain(self, name: str, array: Any) -> Any:
        repeated = isinstance(array, pa.DictionaryArray)
        text = array.dictionary if repeated else array
        if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type) or pa.types.is_binary(text.type)):
            return array
        lengths: Any = pc.binary_length(text)
        size = pc.sum(lengths.take(array.indices) if repeated else lengths).as_py() or 0
        if size > MOST_TEXT:
            self._refuse(name, f"{len(array):,} rows hold {size:,} bytes of text: more than any that was exported")
        return array.dictionary_decode() if repeated else array

    def _refuse(self, column: str, what: str) -> None:
        raise Unusable(f"{self._path}: column {column}: {what}")
