"""How fast is the whole path, against the bare loop and against nothing but COPY, where no budget holds it back?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.bench_exchange import END, Exchange, World, exchange
from benchmarks.bench_server import Server, database, fetch_rows
from benchmarks.children import Measured, measure
from benchmarks.report import Row, tell

_BAR = 0.75

# Event dates (36 markets each), trades a market, rounds.
_FULL = ((84, 160.0, 5), (84, 270.0, 3))
_QUICK = ((14, 160.0, 2), (14, 270.0, 2))


@dataclass(frozen=True, slots=True)
class _Run:
    """One program's run, and the CPU that the others used meanwhile."""

    measured: Measured
    simulator_cpu: float
    server_cpu: float


@dataclass(frozen=True, slots=True)
class _Round:
    """Ours has the bare loop's run right before it."""

    ours: _Run
    bare: _Run
    copy: _Run


class _Bench:
    """One world, one simulator process, one server; every run gets an empty database."""

    def __init__(self, server: Server, source: Exchange) -> None:
        self._server = server
        self._source = source
        self._dates = {"url": source.url, "start": str(source.world.start), "end": str(END)}
        self.tickers: list[str] = []
        self._trades = 0

    async def warm_up(self) -> None:
        """One backfill that is not counted: fills the simulator's caches, tells what there is to fetch."""
        async with database(self._server) as url:
            warm = await self._run("ours", url, self._dates)
            rows = await fetch_rows(url, "select ticker from checkpoints where trades_stored > 0 order by ticker")
        self.tickers = [row["ticker"] for row in rows]
        self._trades = warm.measured.trades

    async def round(self) -> _Round:
        """The bare loop, ours, and COPY over what ours stored."""
        bare = await self._bare()
        async with database(self._server) as url:
            ours = await self._run("ours", url, self._dates)
            copy = await self._run("raw_copy", url, {})
        return _Round(ours, bare, copy)

    async def _bare(self) -> _Run:
        async with database(self._server) as url:
            return await self._run("bare", url, {"url": self._source.url, "tickers": self.tickers})

    async def _run(self, module: str, url: str, arguments: Mapping[str, Any]) -> _Run:
        simulator, server = self._source.cpu_seconds(), self._server.cpu_seconds()
        measured = await measure(module, {"database": url, **arguments})
        if self._trades and measured.trades != self._trades:
            raise RuntimeError(f"{module} stored {measured.trades} trades of {self._trades}")
        run = _Run(measured, self._source.cpu_seconds() - simulator, self._server.cpu_seconds() - server)
        tell(f"  {module:9} {measured.seconds:6.2f} s  {measured.rate:8,.0f} trades/s")
        return run


async def run(server: Server, *, quick: bool) -> Sequence[Row]:
    """Each size of market in turn."""
    rows: list[Row] = []
    for days, trades, rounds in _QUICK if quick else _FULL:
        async with exchange(World(days, trades)) as source:
            bench = _Bench(server, source)
            tell(f"throughput: {trades:g} trades a market")
            await bench.warm_up()
            done = [await bench.round() for _ in range(rounds)]
        rows += _rows(f"{trades:g} trades/market", len(bench.tickers), done)
    return rows


def _rows(size: str, markets: int, rounds: Sequence[_Round]) -> list[Row]:
    first = rounds[0].ours.measured
    ours = [each.ours for each in rounds]
    bare = [each.bare for each in rounds]
    copy = [each.copy for each in rounds]
    full = [_ratio(each.ours, each.bare) for each in rounds]
    return [
        Row(f"{size}: ours / bare loop", _spread(full), f">= {_BAR}", median(full) >= _BAR),
        Row(f"{size}: ours / raw COPY of the same rows", _spread([_ratio(each.ours, each.copy) for each in rounds])),
        Row(f"{size}: size of the job", f"{first.trades:,} trades of {markets:,} markets"),
        Row(f"{size}: candle rows per trade", f"{first.candles / first.trades:.2f}"),
        _compared(f"{size}: trades/s", (ours, bare, copy), lambda run: run.measured.rate, ",.0f"),
        _compared(f"{size}: client CPU s / 1,000 trades", (ours, bare), _client_cpu, ".4f"),
        _compared(f"{size}: PostgreSQL CPU s / 1,000 trades", (ours, bare), _server_cpu, ".4f"),
        _compared(f"{size}: simulator, share of a core", (ours, bare), _simulator_share, ".0%"),
    ]


def _ratio(one: _Run, other: _Run) -> float:
    return one.measured.rate / other.measured.rate


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f}, {len(values)} pairs)"


def _client_cpu(run: _Run) -> float:
    return 1000 * run.measured.cpu_seconds / run.measured.trades


def _server_cpu(run: _Run) -> float:
    return 1000 * run.server_cpu / run.measured.trades


def _simulator_share(run: _Run) -> float:
    return run.simulator_cpu / run.measured.seconds


def _compared(what: str, groups: Sequence[Sequence[_Run]], value: Callable[[_Run], float], form: str) -> Row:
    names = ("ours", "bare", "COPY")
    shown = [f"{name} {median(value(run) for run in runs):{form}}" for name, runs in zip(names, groups, strict=False)]
    return Row(what, ", ".join(shown))
