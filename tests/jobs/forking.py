"""A process that has everything imported and forks one piece of work per line it reads, to be killed.

In: one JSON object per run. Out: the run's process id, then, once it has ended, its wait status.
"""

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import structlog

from kalshi_ingest.errors import OutOfReach, Unusable

Order = dict[str, Any]


def serve(work: Callable[[Order], int]) -> None:
    """Do `work`, which gives an exit code, in a child process per line, until the input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(work, order)
        _say(pid)
        _say(os.waitpid(pid, 0)[1])


def _child(work: Callable[[Order], int], order: Order) -> None:
    """Exit codes as the program's own: 2 unusable, 3 out of reach, 70 anything that nobody foresaw."""
    code = 70
    try:
        code = work(order)
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
