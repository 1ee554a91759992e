"""Processes that tests start: none of them outlives its test, also when that fails."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
NO_SETTINGS_HERE = Path("/")
"""Where the program is run: in the repository's folder may lie the user's own `.env`."""
PROGRAM = (sys.executable, "-m", "kalshi_ingest")

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


def environment(settings: Mapping[str, str], **more: str) -> dict[str, str]:
    """Of a process whose only settings are those given, by name without prefix; `more` as it stands.

    Its folder has to be `NO_SETTINGS_HERE`. Its streams are buffered, as they are for most users.
    """
    hidden = ("KALSHI_INGEST_", "PYTHONUNBUFFERED")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    named = {f"KALSHI_INGEST_{name}": value for name, value in settings.items()}
    return clean | {"PYTHONPATH": str(REPOSITORY), "XDG_CONFIG_HOME": "/nowhere"} | named | more


async def program(*words: str, settings: Mapping[str, str], **options: Any) -> asyncio.subprocess.Process:
    """`kalshi-ingest WORDS` as a process of its own whose only settings are those given."""
    return await start(*PROGRAM, *words, env=environment(settings), cwd=NO_SETTINGS_HERE, **options)


async def _guard(process: asyncio.subprocess.Process) -> None:
    try:
        await process.wait()
    except asyncio.CancelledError:  # by the loop, which ends whatever is left before it closes
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
        raise
