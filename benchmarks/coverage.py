"""How long does it take to say that nothing is missing?"""

from collections.abc import Sequence

from benchmarks.bench_server import Server, fetch_rows
from benchmarks.children import told
from benchmarks.filled_database import filled_database
from benchmarks.report import Row, tell

_SECONDS = 5.0
_SIZE = "select (select count(*) from markets) as markets, (select count(*) from trades) as trades"


async def run(server: Server, *, quick: bool) -> Sequence[Row]:
    """The best of three, beside the best of three of a query that does nothing but read the trades."""
    url = await filled_database(server, quick=quick)
    size = (await fetch_rows(url, _SIZE))[0]
    tell("coverage: three times")
    done = await told("examined", {"database": url})
    seconds, query = min(done["examined"]), min(done["queried"])
    every = ", ".join(f"{each:.2f}" for each in done["examined"])
    return [
        Row(
            f"coverage, {size['markets']:,} markets, {size['trades']:,} trades",
            f"{seconds:.2f} s (best of {every}; {done['peak_megabytes']:.0f} MB)",
            f"<= {_SECONDS:g} s",
            seconds <= _SECONDS,
        ),
        Row("coverage / one query that groups all trades", f"{seconds / query:.2f} (query {query:.2f} s)"),
        Row("holes that coverage finds where there are none", str(done["holes"]), "0", done["holes"] == 0),
    ]
