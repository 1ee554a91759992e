"""A program with a person before it: a pseudo-terminal that asks, and an answer that is typed into it."""

import asyncio
import fcntl
import os
import pty
import termios
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support import processes
from tests.support.patience import COMES


@dataclass
class Terminal:
    """A program with a person before it: what it wrote to its terminal, and to standard output, which is a pipe."""

    code: int | None
    shown: str
    out: str


def _take_the_terminal() -> None:
    """In the child: Ctrl-C at the terminal is meant for it."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


async def at_a_terminal(*arguments: str, settings: Mapping[str, str], question: bytes, answer: bytes) -> Terminal:
    """Run it; `answer` is typed once it has asked its question."""
    ours, theirs = pty.openpty()
    process = await processes.program(
        *arguments,
        settings=settings,
        start_new_session=False,  # it makes one itself
        stdin=theirs,
        stderr=theirs,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=_take_the_terminal,
    )
    os.close(theirs)
    reading = asyncio.create_task(_shown(ours, question, answer))
    try:
        out, _ = await asyncio.wait_for(process.communicate(), COMES)
        return Terminal(process.returncode, (await asyncio.wait_for(reading, COMES)).decode(), out.decode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await asyncio.wait([reading])
        os.close(ours)


async def _shown(ours: int, question: bytes, answer: bytes) -> bytes:
    shown = b""
    answered = False
    try:
        while part := await asyncio.to_thread(os.read, ours, 65536):
            shown += part
            if question in shown and not answered:
                answered = True
                os.write(ours, answer)
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    return shown
