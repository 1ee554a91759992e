"""`python -m benchmarks pairs`: two checkouts, run in turns on one server and one simulator, by their command lines."""

import argparse
import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bench_exchange import END, Exchange, World, exchange
from benchmarks.bench_server import Server, database, fetch_rows, server
from benchmarks.children import UNCAPPED, Finished, ran
from benchmarks.filled_database import filled_database
from benchmarks.report import Row, table, tell

_BAR = 0.97
_DAYS, _QUICK_DAYS = 84, 7
_TRADES_PER_MARKET = 160.0
_HELD = "select (select count(*) from trades), (select count(*) from candles)"


@dataclass(frozen=True, slots=True)
class _Pair:
    before: Finished
    after: Finished

    @property
    def speed(self) -> float:
        """Of the later checkout, as a share of the earlier one's."""
        return self.before.seconds / self.after.seconds

    @property
    def cpu(self) -> float:
        """The same, of the command's own CPU time: less sensitive to what else the machine does."""
        return self.before.cpu_seconds / self.after.cpu_seconds


class _Jobs:
    """What both checkouts do; `program` is a checkout's `kalshi-ingest`."""

    def __init__(self, of: Server, source: Exchange, filled: str, place: Path) -> None:
        self._server = of
        self._source = source
        self._filled = filled
        self._place = place
        self._archive = place / "archive"
        self._held: dict[str, tuple[int, ...]] = {}

    async def throughput(self, program: Path) -> Finished:
        """A backfill into an empty database."""
        words = ["backfill", "--start", str(self._source.world.start), "--end", str(END)]
        words += ["--api-url", self._source.url, "--requests-per-second", str(UNCAPPED)]
        return await self._into_empty("throughput", program, words)

    async def coverage(self, program: Path) -> Finished:
        """A report about everything that the filled database holds."""
        return await ran(["coverage"], self._filled, fine=(0, 1), program=program)

    async def export(self, program: Path) -> Finished:
        """The filled database as files."""
        with tempfile.TemporaryDirectory(dir=self._place) as output:
            done = await ran(["export", "--output", output], self._filled, program=program)
            if not self._archive.exists():
                shutil.copytree(output, self._archive)
        return done

    async def load(self, program: Path) -> Finished:
        """These files into an empty database."""
        if not self._archive.exists():
            await self.export(program)
        return await self._into_empty("load", program, ["load", "--input", str(self._archive)])

    async def _into_empty(self, what: str, program: Path, words: Sequence[str]) -> Finished:
        async with database(self._server) as url:
            done = await ran(words, url, program=program)
            held = tuple((await fetch_rows(url, _HELD))[0])
        if self._held.setdefault(what, held) != held:
            raise RuntimeError(f"{program} stored {held} trades and candles, the run before it {self._held[what]}")
        return done


_FIGURES: dict[str, Callable[[_Jobs, Path], Awaitable[Finished]]] = {
    "throughput": _Jobs.throughput,
    "coverage": _Jobs.coverage,
    "export": _Jobs.export,
    "load": _Jobs.load,
}


def pairs(words: Sequence[str]) -> int:
    """0 when the later checkout is nowhere slower than 0.97 of the earlier one, by the median of all pairs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pairs", description=pairs.__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout with its .venv")
    parser.add_argument("--after", type=Path, required=True, help="another one")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--figure", action="append", choices=list(_FIGURES), help="all by default")
    parser.add_argument("--quick", action="store_true", help="small jobs: whether it works, not what it measures")
    rows = asyncio.run(_run(parser.parse_args(words)))
    print(table(rows))
    return 1 if any(row.ok is False for row in rows) else 0


async def _run(arguments: argparse.Namespace) -> list[Row]:
    programs = [tree.absolute() / ".venv/bin/kalshi-ingest" for tree in (arguments.before, arguments.after)]
    figures = arguments.figure or list(_FIGURES)
    world = World(_QUICK_DAYS if arguments.quick else _DAYS, _TRADES_PER_MARKET)
    with server() as running, tempfile.TemporaryDirectory() as place:
        # Neither checkout may have its modules compiled already while the other has not.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = f"{place}/compiled"
        filled = "" if figures == ["throughput"] else await filled_database(running, quick=arguments.quick)
        async with exchange(world) as source:
            jobs = _Jobs(running, source, filled, Path(place))
            tell("one pair that is not counted: it fills the caches and compiles the modules")
            for figure in figures:
                await _pair(_FIGURES[figure], jobs, programs, turned=False)
            done: dict[str, list[_Pair]] = {figure: [] for figure in figures}
            for number in range(arguments.pairs):
                for figure in figures:
                    done[figure].append(await _pair(_FIGURES[figure], jobs, programs, turned=number % 2 == 1))
                    tell(f"pair {number + 1}, {figure}: {_shown(done[figure][-1])}")
    return [_row(figure, found) for figure, found in done.items()]


async def _pair(
    figure: Callable[[_Jobs, Path], Awaitable[Finished]], jobs: _Jobs, programs: Sequence[Path], *, turned: bool
) -> _Pair:
    """A B in one pair, B A in the next: what runs first gets no advantage."""
    first, second = [await figure(jobs, program) for program in (programs[::-1] if turned else programs)]
    return _Pair(second, first) if turned else _Pair(first, second)


def _shown(pair: _Pair) -> str:
    before, after = pair.before, pair.after
    return (
        f"{pair.speed:.3f} ({before.seconds:.2f} s, then {after.seconds:.2f} s), CPU {pair.cpu:.3f},"
        f" peak {before.peak_megabytes:.0f} and {after.peak_megabytes:.0f} MB"
    )


def _row(figure: str, done: Sequence[_Pair]) -> Row:
    speeds = [pair.speed for pair in done]
    peaks = [
        max(each.peak_megabytes for each in side) for side in zip(*((p.before, p.after) for p in done), strict=True)
    ]
    return Row(
        f"{figure}: after / before",
        f"{median(speeds):.3f} ({min(speeds):.3f} to {max(speeds):.3f}, {len(speeds)} pairs;"
        f" CPU {median(pair.cpu for pair in done):.3f}; peak {peaks[0]:.0f} and {peaks[1]:.0f} MB)",
        f">= {_BAR}",
        median(speeds) >= _BAR,
    )
