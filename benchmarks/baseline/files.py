"""An archive's files as text: the rows, schema and metadata of Parquet files, and everything else as it is."""

from collections.abc import Collection
from pathlib import Path

import orjson
import pyarrow.parquet as pq

from benchmarks.baseline.masks import MASK


def contents(folder: Path, columns: Collection[str]) -> dict[str, str]:
    """Path below the folder → what the file holds, these columns masked."""
    return {
        str(path.relative_to(folder)): _parquet(path, columns) if path.suffix == ".parquet" else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _parquet(path: Path, columns: Collection[str]) -> str:
    file = pq.ParquetFile(path)
    footer = file.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    codecs = sorted({group.column(number).compression for group in groups for number in range(group.num_columns)})
    head = [
        str(file.schema_arrow),
        f"metadata: {footer.metadata}",
        f"rows of each group: {[group.num_rows for group in groups]}, {', '.join(codecs)}",
    ]
    rows = [
        {name: MASK if name in columns and value is not None else value for name, value in row.items()}
        for row in file.read().to_pylist()
    ]
    lines = [orjson.dumps(row, default=_shown).decode() for row in rows]
    return "\n".join([*head, *lines, ""])


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
