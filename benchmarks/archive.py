"""Out to Parquet and back in: how long, how much memory, and how close a load comes to nothing but COPY."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import asyncpg

from benchmarks.bench_server import Server, database, fetch_rows
from benchmarks.children import Finished, ran, told
from benchmarks.filled_database import filled_database
from benchmarks.report import Row, tell

_MEGABYTES = 300
_RATIO = 0.6
_ROUNDS, _QUICK_ROUNDS = 2, 1

_TABLES = ("series", "events", "markets", "listings", "checkpoints", "trades", "candles")
"""In an order in which every row finds the rows that it refers to."""


@dataclass(frozen=True, slots=True)
class _Round:
    """A load into an empty database, between two runs of COPY into other empty databases: table → seconds."""

    before: Mapping[str, float]
    load: Finished
    after: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """Rows a second of the load, as a share of COPY's: the rows are the same, so it is the seconds that count."""
        return (sum(self.before.values()) + sum(self.after.values())) / 2 / self.load.seconds

    @property
    def ratio_to_trades(self) -> float:
        """The whole load, candles and checks included, against COPY of nothing but its trades."""
        return (self.before["trades"] + self.after["trades"]) / 2 / self.load.seconds


@dataclass(slots=True)
class _Bench:
    """One archive, one set of COPY files, one server; every run gets an empty database."""

    server: Server
    archive: Path
    files: Mapping[str, Path]
    """Table → the file that holds its rows."""

    async def copied(self) -> Mapping[str, float]:
        """Nothing but COPY."""
        async with database(self.server) as url:
            files = {table: str(path) for table, path in self.files.items()}
            seconds: dict[str, float] = await told("raw_load", {"database": url, "files": files})
        tell(f"  COPY    {sum(seconds.values()):6.1f} s, of which trades {seconds['trades']:.1f} s")
        return seconds

    async def loaded(self, url: str) -> Finished:
        """The real command."""
        done = await ran(["load", "--input", str(self.archive)], url)
        tell(f"  load    {done.seconds:6.1f} s, {done.peak_megabytes:.0f} MB")
        return done


async def run(server: Server, *, quick: bool) -> Sequence[Row]:
    """Export, load beside COPY, load once more, export again."""
    filled = await filled_database(server, quick=quick)
    with TemporaryDirectory(prefix="kalshi-bench-") as place:
        first, second, raw = (Path(place, name) for name in ("first", "second", "raw"))
        tell("archive: export")
        exported = await ran(["export", "--output", str(first)], filled)
        tell(f"  export  {exported.seconds:6.1f} s, {exported.peak_megabytes:.0f} MB")
        raw.mkdir()
        bench = _Bench(server, first, await _rows_out(filled, raw))
        counts = await _counts(filled)
        rounds = await _rounds(bench, _QUICK_ROUNDS if quick else _ROUNDS)
        async with database(server) as url:
            loads = [await bench.loaded(url)]
            between = await _counts(url)
            loads.append(await bench.loaded(url))
            added = sum((await _counts(url)).values()) - sum(between.values())
            exported_again = await ran(["export", "--output", str(second)], url)
        return [
            *_export_rows(counts, exported, _digests(first), _digests(second)),
            *_load_rows(counts, rounds),
            Row("loaded again: rows added", f"{added:,} (in {loads[1].seconds:.1f} s)", "0", added == 0),
            _memory("export", [exported, exported_again]),
            _memory("load", [*(each.load for each in rounds), *loads]),
        ]


async def _rounds(bench: _Bench, number: int) -> list[_Round]:
    """COPY, load, COPY, load, COPY: each load has one right before and one right after it."""
    tell("archive: load, and COPY around it")
    rounds: list[_Round] = []
    before = await bench.copied()
    for _ in range(number):
        async with database(bench.server) as url:
            load = await bench.loaded(url)
        after = await bench.copied()
        rounds.append(_Round(before, load, after))
        before = after
    return rounds


async def _rows_out(url: str, folder: Path) -> Mapping[str, Path]:
    """Every table's rows as a file that COPY takes in again."""
    connection = await asyncpg.connect(url)
    files = {table: folder / table for table in _TABLES}
    try:
        for table, path in files.items():
            await connection.copy_from_table(table, output=path, format="binary")
    finally:
        await connection.close()
    return files


async def _counts(url: str) -> Mapping[str, int]:
    """Table → rows."""
    query = " union all ".join(f"select '{table}' as name, count(*) as rows from {table}" for table in _TABLES)
    return {row["name"]: row["rows"] for row in await fetch_rows(url, query)}


def _digests(archive: Path) -> Mapping[str, str]:
    """Path within the archive → checksum of the file's bytes."""
    found: dict[str, str] = {}
    for path in sorted(path for path in archive.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found[str(path.relative_to(archive))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _export_rows(
    counts: Mapping[str, int], exported: Finished, first: Mapping[str, str], second: Mapping[str, str]
) -> list[Row]:
    same = sum(first.get(path) == digest for path, digest in second.items())
    return [
        Row("archive: size of the job", f"{counts['trades']:,} trades, {counts['candles']:,} candles"),
        Row("archive: markets", f"{counts['markets']:,} of six cities"),
        Row("export", f"{exported.seconds:.1f} s ({counts['trades'] / exported.seconds:,.0f} trades/s)"),
        Row("export, load, export: files alike", f"{same} of {len(first)}", "all", dict(first) == dict(second)),
    ]


def _load_rows(counts: Mapping[str, int], rounds: Sequence[_Round]) -> list[Row]:
    copies = [rounds[0].before, *(each.after for each in rounds)]
    return [
        Row(
            "load / raw COPY of the same rows",
            _spread(rounds, lambda each: each.ratio),
            f">= {_RATIO}",
            median(each.ratio for each in rounds) >= _RATIO,
        ),
        Row("load / raw COPY of its trades alone", _spread(rounds, lambda each: each.ratio_to_trades)),
        Row("load: trades/s of the whole", _spread(rounds, lambda each: counts["trades"] / each.load.seconds, ",.0f")),
        Row(
            "raw COPY: seconds",
            f"all rows {median(sum(each.values()) for each in copies):.1f},"
            f" trades {median(each['trades'] for each in copies):.1f}",
        ),
    ]


def _memory(what: str, runs: Sequence[Finished]) -> Row:
    peak = max(run.peak_megabytes for run in runs)
    return Row(f"peak memory, {what}", f"{peak:.0f} MB", f"<= {_MEGABYTES} MB", peak <= _MEGABYTES)


def _spread(rounds: Sequence[_Round], value: Callable[[_Round], float], form: str = ".2f") -> str:
    values = [value(each) for each in rounds]
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}}, {len(values)} loads)"
