"""A question to the person at the terminal, asked where the event loop runs, so that a signal can cut it short."""

import asyncio
import os
import sys
from typing import TextIO

from kalshi_ingest import terminal


def screen() -> TextIO | None:
    """Where a person reads who can answer on standard input; None when nobody is there to be asked."""
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    return next((stream for stream in (sys.stderr, sys.stdout) if stream.isatty()), None)


async def confirmed(question: str, out: TextIO) -> bool:
    """Whether the answer is yes; anything else, and the end of the input, is a no. Can be cancelled."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    descriptor = sys.stdin.fileno()

    def read() -> None:
        try:
            line = os.read(descriptor, 4096)
        except OSError:  # the terminal is gone
            line = b""
        if not answer.done():
            answer.set_result(line)

    terminal.write(out, f"{question} [y/N] ")
    loop.add_reader(descriptor, read)
    try:
        line = await answer
    except asyncio.CancelledError:
        terminal.write(out, "\n")
        raise
    finally:
        loop.remove_reader(descriptor)
    if not line.endswith(b"\n"):
        terminal.write(out, "\n")
    return line.strip().lower() in (b"y", b"yes")
