"""The manifest: round trip, and what is not a manifest of this program."""

from datetime import date
from pathlib import Path

import pytest

from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.manifest import CityEntry, FileEntry, Manifest, read_manifest
from kalshi_ingest.parquet.schema import MANIFEST
from kalshi_ingest.parquet.storage import ArchiveStorage

CHICAGO = CityEntry(
    ("KXHIGHCHI",),
    date(2024, 10, 22),
    date(2024, 10, 25),
    {"chicago/trades.parquet": FileEntry(12, 345, "ab"), "chicago/summary_report.txt": FileEntry(None, 6, "cd")},
)
NEW_YORK = CityEntry(("KXHIGHNY",), None, None, {})


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    storage = ArchiveStorage.at(str(tmp_path))
    assert read_manifest(storage) is None
    manifest = Manifest("cities", {"nyc": NEW_YORK, "chicago": CHICAGO})
    storage.write(MANIFEST, manifest.as_json())
    assert read_manifest(storage) == manifest


def test_order_does_not_show() -> None:
    one = Manifest("cities", {"nyc": NEW_YORK, "chicago": CHICAGO})
    other = Manifest("cities", {"chicago": CHICAGO, "nyc": NEW_YORK})
    assert one.as_json() == other.as_json()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is damaged; remove it"),
        (b"[]", "it is damaged"),
        (b'{"format": "something else"}', "not a kalshi-ingest archive"),
        (b'{"format": "kalshi-ingest archive", "version": 3}', "version 3; this program reads up to 2"),
        (b'{"format": "kalshi-ingest archive", "version": 1, "layout": "cities"}', "it is damaged"),
    ],
)
def test_what_is_no_manifest_of_ours_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    storage = ArchiveStorage.at(str(tmp_path))
    storage.write(MANIFEST, content)
    with pytest.raises(Unusable, match=words):
        read_manifest(storage)


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "a/b", "..", ".hidden", "", "a\nb", "x" * 101])
def test_names_that_would_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    storage = ArchiveStorage.at(str(tmp_path))
    for cities in ({name: NEW_YORK}, {"nyc": CityEntry((name,), None, None, {})}):
        storage.write(MANIFEST, Manifest("cities", cities).as_json())
        with pytest.raises(Unusable, match="cannot be the name of a folder"):
            read_manifest(storage)
