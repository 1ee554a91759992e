"""Work in processes of its own, forked by a warm parent and killed with SIGKILL at chosen instants.

`python -m tests.support.killable MODULE:FUNCTION` imports everything first, then forks one child per line that it
reads: the line is a JSON object, the order, which the function gets; it returns the exit code. For each run the parent
prints the child's process id and, once it has ended, its wait status.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from kalshi_ingest.clocks import steady
from kalshi_ingest.errors import OutOfReach, Unusable
from tests.support import postgres

Order = dict[str, Any]
T = TypeVar("T")

_REPOSITORY = Path(__file__).resolve().parents[2]


class KillableRun:
    """One kind of work, run again and again, one run at a time."""

    def __init__(self, parent: asyncio.subprocess.Process) -> None:
        self._parent = parent

    async def start(self, order: Order) -> int:
        """Begin one run; returns its process id."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(order).encode() + b"\n")
        await self._parent.stdin.drain()
        return await self._number()

    async def wait(self) -> int:
        """The exit code of the run that was started last; minus the signal that killed it."""
        return os.waitstatus_to_exitcode(await self._number())

    async def run(self, order: Order, kill_after: float | None = None) -> int:
        """One run, killed after some seconds if it has not ended by then: its exit code, as `wait` gives it."""
        pid = await self.start(order)
        timer = None
        if kill_after is not None:
            timer = asyncio.get_running_loop().call_later(kill_after, os.kill, pid, signal.SIGKILL)
        code = await self.wait()
        if timer is not None:
            timer.cancel()
        return code

    async def _number(self) -> int:
        assert self._parent.stdout is not None
        return int(await self._parent.stdout.readline())


@contextlib.asynccontextmanager
async def killable(work: str) -> AsyncIterator[KillableRun]:
    """Runs of `work`, written `module:function`, for a `with` block; at its end nothing is left of them."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.killable", work),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
        start_new_session=True,
    )
    try:
        yield KillableRun(parent)
    finally:
        # In a test that passed the runs have ended; one that failed may have left a run at work.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        await parent.communicate()


async def undisturbed(
    work: KillableRun, order: Order, held: Callable[[str], Awaitable[T]], admin_url: str, template: str
) -> tuple[T, float]:
    """What a database holds after one run on it, and how many seconds that takes here, once all is warm."""

    async def once() -> tuple[T, float]:
        async with postgres.fresh_database(admin_url, template) as url:
            began = steady()
            assert await work.run(order | {"database_url": url}) == 0
            took = steady() - began
            return await held(url), took

    await once()
    return await once()


def _serve(work: Callable[[Order], int]) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(work, order)
        _print(pid)
        _print(os.waitpid(pid, 0)[1])


def _child(work: Callable[[Order], int], order: Order) -> None:
    """Exit codes as the program's own: 2 unusable, 3 out of reach, 70 a fault."""
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


def _print(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    name, _, function = sys.argv[1].partition(":")
    _serve(getattr(importlib.import_module(name), function))
