"""A process that has everything imported and forks one backfill per line it reads, to be killed.

In: one JSON object per run. Out: the run's process id, then, once it has ended, its wait status.
"""

import asyncio
import gc
import json
import os
import sys
import traceback
from typing import Any

import structlog

from kalshi_ingest.errors import OutOfReach, Unusable
from tests.jobs.harness import Run


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
    """Exit codes as the program's own: 0 done, 2 unusable, 3 out of reach, 70 anything else."""
    code = 70
    try:
        asyncio.run(Run(order["api_url"], order["database_url"], workers=order["workers"])())
        code = 0
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        code = 2
    except OutOfReach as error:
        sys.stderr.write(f"{error}\n")
        code = 3
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
