"""A process that has everything imported and forks one load per line it reads, to be killed.

In: one JSON object per load. Out: its process id, then, once it has ended, its wait status.
"""

import asyncio
import gc
import json
import os
import sys
import traceback
from pathlib import Path

import structlog

from tests.jobs.loads import loaded


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


def _child(order: dict[str, str]) -> None:
    code = 70
    try:
        code = (asyncio.run(loaded(order["database_url"], Path(order["folder"]))).failed and 1) or 0
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
