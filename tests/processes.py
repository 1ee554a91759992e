"""Processes that tests start: none of them outlives its test, also when that fails."""

import asyncio
import contextlib
import os
import signal
from typing import Any

_guards: set["asyncio.Task[None]"] = set()


async def start(*words: str, **options: Any) -> asyncio.subprocess.Process:
    """`asyncio.create_subprocess_exec`; what still runs when the test's event loop is closed is killed and reaped.

    It leads a session of its own, so that its own processes are killed with it.
    """
    process = await asyncio.create_subprocess_exec(*words, **({"start_new_session": True} | options))
    guard = asyncio.create_task(_guard(process))
    _guards.add(guard)
    guard.add_done_callback(_guards.discard)
    return process


async def _guard(process: asyncio.subprocess.Process) -> None:
    try:
        await process.wait()
    except asyncio.CancelledError:  # by the loop, which ends whatever is left before it closes
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
        raise
