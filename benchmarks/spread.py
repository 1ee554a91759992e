"""The large jobs: how much memory the command takes, and how many bytes its rows take on disk."""

from collections.abc import Sequence

from benchmarks.bench_exchange import World, exchange
from benchmarks.bench_server import Server, database, fetch_rows, vacuum
from benchmarks.children import UNCAPPED, Finished, backfill
from benchmarks.report import Row, tell

_MEGABYTES = 150
_BYTES_PER_TRADE = 220
_GIANT, _QUICK_GIANT = 5_000_000, 500_000
_DAYS, _QUICK_DAYS = 683, 52
"""About 18,500 and about 1,870 markets."""
_TRADES_PER_MARKET = 270.0

_SIZES = """
select counted.name, counted.rows, pg_table_size(name::regclass) as heap, pg_indexes_size(name::regclass) as indexes
from (select 'trades' as name, count(*) as rows from trades union all select 'candles', count(*) from candles) counted
"""


async def memory(server: Server, *, quick: bool) -> Sequence[Row]:
    """Both memory rows; the spread job's bytes come with it."""
    return [await _giant(server, quick=quick), *await sizes(server, quick=quick)]


async def sizes(server: Server, *, quick: bool) -> Sequence[Row]:
    """The spread job: its peak of memory and its bytes per row."""
    tell("spread: thousands of markets")
    world = World(_QUICK_DAYS if quick else _DAYS, _TRADES_PER_MARKET)
    async with exchange(world) as source, database(server) as url:
        done = await backfill(source, url, UNCAPPED)
        await vacuum(url)
        found = {row["name"]: row for row in await fetch_rows(url, _SIZES)}
        markets = (await fetch_rows(url, "select count(*) from checkpoints where state = 'complete'"))[0][0]
    rows = [_memory(f"{markets:,} markets, {found['trades']['rows']:,} trades", done)]
    for name, bar in (("trades", _BYTES_PER_TRADE), ("candles", None)):
        heap, indexes = (found[name][part] / found[name]["rows"] for part in ("heap", "indexes"))
        rows.append(
            Row(
                f"bytes per row of {name}, {found[name]['rows']:,} rows",
                f"{heap + indexes:.0f} (table {heap:.0f}, indexes {indexes:.0f})",
                f"<= {bar}" if bar else "",
                heap + indexes <= bar if bar else None,
            )
        )
    return rows


async def _giant(server: Server, *, quick: bool) -> Row:
    wanted = _QUICK_GIANT if quick else _GIANT
    tell(f"memory: one market of {wanted:,} trades")
    async with exchange(World(1, 30, giant=wanted)) as source, database(server) as url:
        done = await backfill(source, url, UNCAPPED)
        largest = (await fetch_rows(url, "select max(trades_stored) from checkpoints"))[0][0]
    if largest != wanted:
        raise RuntimeError(f"the giant market has {largest} trades instead of {wanted}")
    return _memory(f"one market of {wanted:,} trades", done)


def _memory(what: str, done: Finished) -> Row:
    return Row(
        f"peak memory, {what}",
        f"{done.peak_megabytes:.0f} MB (in {done.seconds:.0f} s)",
        f"<= {_MEGABYTES} MB",
        done.peak_megabytes <= _MEGABYTES,
    )
