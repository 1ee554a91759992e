"""A process that has everything imported and forks one `weather minutes` per line it reads, to be killed.

In: one JSON object per run. Out: its process id, then, once it has ended, its wait status.
"""

import asyncio
import gc
import json
import os
import sys
import traceback
from datetime import date
from typing import Any

import structlog

from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.simulator.weather.server import WeatherUrls
from tests.jobs.minute_runs import fetched


def main() -> None:
    """Serve until the input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(order)
        _say(pid)
        _say(os.waitpid(pid, 0)[1])


def _child(order: dict[str, Any]) -> None:
    code = 70
    try:
        work = fetched(
            WeatherUrls.below(order["root"]),
            order["database_url"],
            [find_city(name) for name in order["cities"]],
            kind=order["kind"],
            first=date.fromisoformat(order["first"]),
        )
        code = asyncio.run(work).exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
