"""Archives from anywhere: what is no plain file, what never ends, and what unfolds beyond any memory."""

import contextlib
import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_ingest.archive.predecessor.files import predecessor_folders
from kalshi_ingest.archive.predecessor.rows import Origin, read_rows
from kalshi_ingest.archive.verification import checked_city
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.manifest import read_manifest
from kalshi_ingest.parquet.schema import MANIFEST, MARKETS
from kalshi_ingest.parquet.storage import ArchiveStorage
from tests.archive import small


def check(folder: Path) -> None:
    """Everything that `load` reads before it writes."""
    storage = ArchiveStorage.at(str(folder))
    manifest = read_manifest(storage)
    assert manifest is not None
    for label, entry in manifest.cities.items():
        for _ in checked_city(storage, label, entry):
            pass


def predecessor(folder: Path) -> None:
    """The same of the predecessor's form."""
    read_rows(
        ArchiveStorage.at(str(folder)),
        "chicago",
        find_city("chicago"),
        Origin(uuid4(), datetime(2026, 1, 1, tzinfo=UTC), {}),
    )


def a_socket(path: Path) -> None:
    # A whole path may be longer than the name of a socket.
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.name)


def a_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


NO_FILES: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "folder": Path.mkdir,
    "socket": a_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link to a FIFO": a_link_to_a_fifo,
}


@pytest.mark.parametrize("put", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("name", ["chicago/trades.parquet", "chicago/markets.parquet", MANIFEST])
def test_what_is_no_regular_file_is_refused_at_once(put: Callable[[Path], object], name: str, tmp_path: Path) -> None:
    folder = small.write(tmp_path, small.sound())
    (folder / name).unlink()
    put(folder / name)
    with pytest.raises(Unusable, match=f"{name} is not a regular file"):
        check(folder)


def test_nor_is_one_of_the_predecessors(tmp_path: Path) -> None:
    (tmp_path / "chicago").mkdir()
    os.mkfifo(tmp_path / "chicago/markets.parquet")
    with pytest.raises(Unusable, match=r"chicago/markets.parquet is not a regular file"):
        predecessor_folders(ArchiveStorage.at(str(tmp_path)))


def test_a_link_to_a_regular_file_is_one(tmp_path: Path) -> None:
    folder = small.write(tmp_path, small.sound())
    (folder / "chicago/trades.parquet").rename(tmp_path / "elsewhere")
    (folder / "chicago/trades.parquet").symlink_to(tmp_path / "elsewhere")
    check(folder)


def test_a_file_that_is_longer_than_the_manifest_says_is_not_read_to_its_end(tmp_path: Path) -> None:
    folder = small.write(tmp_path, small.sound())
    os.truncate(folder / "chicago/trades.parquet", 2**42)
    with pytest.raises(Unusable, match=r"chicago/trades.parquet has more than the [0-9,]+ bytes of manifest.json"):
        check(folder)


def test_a_manifest_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    folder = small.write(tmp_path, small.sound())
    os.truncate(folder / MANIFEST, 3 * 2**30)
    with pytest.raises(Unusable, match="cannot be right"):
        check(folder)


@pytest.mark.parametrize("key", ["bytes", "rows", "sha256"])
@pytest.mark.parametrize("value", ["x", -1, True, 1.5, [], {}])
def test_a_manifest_with_counts_that_are_none(key: str, value: object, tmp_path: Path) -> None:
    folder = small.write(tmp_path, small.sound())
    body = json.loads((folder / MANIFEST).read_text())
    body["cities"]["chicago"]["files"]["chicago/trades.parquet"][key] = value
    (folder / MANIFEST).write_text(json.dumps(body))
    with pytest.raises(Unusable, match=r"it is damaged|not the file that manifest.json describes"):
        check(folder)


def bomb(path: Path, rows: int, each: int, *, repeated: bool) -> None:
    """The markets' file again, with `rows` equal titles of `each` bytes: once in the file, or packed one by one."""
    market = small.sound()["markets"][0]
    table = pa.Table.from_pylist([market], schema=pq.read_schema(path))
    title: Any = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * each]))
    columns = [title if name == "title" else pa.repeat(table[name][0], rows) for name in table.schema.names]
    options: dict[str, Any] = {
        "compression": "zstd",
        "dictionary_pagesize_limit": 2**30,
        "store_schema": False,
        "use_dictionary": ["title"] if repeated else False,
    }
    pq.write_table(pa.table(columns, names=table.schema.names), path, **options)


@pytest.mark.parametrize(
    ("rows", "each", "repeated"),
    [(500, 16 * 2**20, True), (100_000, 2**20, True), (6, 16 * 2**20, False), (6, 50 * 2**20, False)],
    ids=["8 GB of one value", "100 GB of one value", "six values", "a part that is too large"],
)
@pytest.mark.parametrize("modern", [True, False], ids=["ours", "the predecessor's"])
def test_text_that_unfolds_beyond_memory_is_refused(
    rows: int, each: int, repeated: bool, modern: bool, tmp_path: Path
) -> None:
    folder = small.write(tmp_path, small.sound())
    bomb(folder / "chicago" / MARKETS.file, rows, each, repeated=repeated)
    assert (folder / "chicago" / MARKETS.file).stat().st_size < 300_000
    small.sign(folder)
    read = check if modern else predecessor
    with pytest.raises(Unusable, match=r"chicago/markets.parquet: column title: .*(bytes of text|unpacks)"):
        read(folder)
