"""The manifest: what an archive holds, in one small file that is written last."""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import orjson

from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.schema import FORMAT, MANIFEST, VERSION
from kalshi_ingest.parquet.storage import ArchiveStorage

Layout = Literal["cities", "dataset"]

_MOST_BYTES = 64 * 2**20
"""A dataset of a hundred cities and ten years takes 60 MB."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    rows: int | None
    """None for a file that holds no rows."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True)
class CityEntry:
    """One city, or one other series under its own ticker."""

    series_tickers: tuple[str, ...]
    first_event_date: date | None
    last_event_date: date | None
    files: dict[str, FileEntry]
    """Path below the archive's root → the file."""


@dataclass(slots=True)
class Manifest:
    """All cities of an archive. It holds no time of writing: unchanged data gives an unchanged file."""

    layout: Layout
    cities: dict[str, CityEntry] = field(default_factory=dict)

    def as_json(self) -> bytes:
        cities = {
            city: {
                "series_tickers": list(entry.series_tickers),
                "first_event_date": entry.first_event_date,
                "last_event_date": entry.last_event_date,
                "files": {
                    path: {"rows": file.rows, "bytes": file.size, "sha256": file.sha256}
                    for path, file in entry.files.items()
                },
            }
            for city, entry in self.cities.items()
        }
        body = {"format": FORMAT, "version": VERSION, "layout": self.layout, "cities": cities}
        return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def read_manifest(storage: ArchiveStorage) -> Manifest | None:
    """The manifest of the archive at `storage`; None when it has none.

    Raises `Unusable` for a file that is not a manifest of this program, or that a newer version wrote.
    """
    if not storage.exists(MANIFEST):
        return None
    shown = f"{MANIFEST} in {storage}"
    try:
        body = orjson.loads(storage.read(MANIFEST, _MOST_BYTES))
        if body["format"] != FORMAT:
            raise Unusable(f"{shown} says that this is {body['format']!r}, not a {FORMAT}")
        if body["version"] > VERSION:
            raise Unusable(f"{shown} has version {body['version']}; this program reads up to {VERSION}: upgrade it")
        manifest = Manifest(body["layout"], {city: _entry(entry) for city, entry in body["cities"].items()})
        for city, entry in manifest.cities.items():
            for name in (city, *entry.series_tickers):
                require_name(name, shown)
        return manifest
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise Unusable(f"{shown} cannot be read: it is damaged; remove it, then export every city again") from None


def require_name(name: str, where: str) -> None:
    """A city or a series that becomes the name of a folder is letters, digits, `.`, `_` and `-`, and no way out of it.

    Raises `Unusable`; `where`: what names it.
    """
    if not _NAME.fullmatch(name):
        raise Unusable(
            f"{where} names {name!r:.80}, which cannot be the name of a folder: it is neither a city nor a series"
        )


def _entry(body: dict[str, Any]) -> CityEntry:
    first, last = body["first_event_date"], body["last_event_date"]
    return CityEntry(
        tuple(body["series_tickers"]),
        None if first is None else date.fromisoformat(first),
        None if last is None else date.fromisoformat(last),
        {path: _file(file) for path, file in body["files"].items()},
    )


def _file(body: dict[str, Any]) -> FileEntry:
    rows, size, summed = body["rows"], body["bytes"], body["sha256"]
    counts = [size] if rows is None else [rows, size]
    if any(type(count) is not int or count < 0 for count in counts) or not isinstance(summed, str):
        raise ValueError("not a count or not a checksum")
    return FileEntry(rows, size, summed)
