"""A question to the person at the terminal, asked where the event loop runs, so that a signal can cut it short."""

import asyncio
import os
import sys

from kalshi_ingest import terminal


def somebody_is_there() -> bool:
    """Whether a person can read a question on standard error and answer it on standard input."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


async def confirmed(question: str) -> bool:
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

    terminal.write(sys.stderr, f"{question} [y/N] ")
    loop.add_reader(descriptor, read)
    try:
        line = await answer
    except asyncio.CancelledError:
        terminal.write(sys.stderr, "\n")
        raise
    finally:
        loop.remove_reader(descriptor)
    if not line.endswith(b"\n"):
        terminal.write(sys.stderr, "\n")
    return line.strip().lower() in (b"y", b"yes")
