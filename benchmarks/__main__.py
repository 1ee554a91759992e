"""`python -m benchmarks [NAME …] [--quick]`: measure, print one table, judge it.

`baseline`, `compare` and `pairs` instead compare two checkouts: what they do, and how fast.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import date

from benchmarks import archive, budget, coverage, follow_month, freshness, spread, throughput, weather
from benchmarks.baseline.command import baseline, compare
from benchmarks.bench_server import full_version, server
from benchmarks.pairs import pairs
from benchmarks.report import Row, machine, table, tell

Bench = Callable[..., Awaitable[Sequence[Row]]]

_BENCHES: dict[str, Bench] = {
    "budget": budget.run,
    "throughput": throughput.run,
    "memory": spread.memory,
    "bytes": spread.sizes,
    "archive": archive.run,
    "coverage": coverage.run,
    "weather": weather.run,
    "follow_month": follow_month.run,
    "freshness": freshness.run,
}


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"baseline": baseline, "compare": compare, "pairs": pairs}


def main() -> int:
    """0 when every bar is met, 1 when one is not."""
    if sys.argv[1:] and sys.argv[1] in _COMMANDS:
        return _COMMANDS[sys.argv[1]](sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure this program against its bars.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(_BENCHES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small jobs: whether it works, not what it measures")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in _BENCHES]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]}: choose from {', '.join(_BENCHES)}")
    return asyncio.run(_run(arguments.names or list(_BENCHES), quick=arguments.quick))


async def _run(names: Sequence[str], *, quick: bool) -> int:
    # The memory benchmark runs the job that the bytes are counted after, so its rows hold them.
    chosen = [name for name in names if name != "bytes" or "memory" not in names]
    rows: list[Row] = []
    with server() as running:
        tell(f"PostgreSQL {await full_version(running)} is up")
        for name in chosen:
            measured = await _BENCHES[name](running, quick=quick)
            tell("\n".join(f"  {row.what}: {row.measured} {row.bar} {row.verdict}" for row in measured))
            rows += measured
        where = machine(await full_version(running))
    print(f"{date.today()}, {where}{', --quick' if quick else ''}\n\n{table(rows)}")  # noqa: DTZ011
    return 1 if any(row.ok is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
