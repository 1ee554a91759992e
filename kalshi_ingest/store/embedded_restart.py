"""The embedded server started again under a service that has to stay able to stop.

Recovery after a crash may take minutes, and a thread that waits for it cannot be ended; a process can. It is this
module, run as a program.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from kalshi_ingest.errors import DatabaseAway, IngestError
from kalshi_ingest.store import embedded

_END_SECONDS = 1.0


async def start_again(data_dir: Path) -> None:
    """Make the server run again; `DatabaseAway` says why it does not.

    Cancelling this ends the waiting. A server that is recovering goes on with that by itself.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(data_dir)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C at the terminal is for the service, which then ends this in order
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode != 0:
        reason = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise DatabaseAway(reason[-1])


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt  # which also ends the program that waits for the server


def main(data_dir: Path) -> int:
    """Start the server, wait until it answers, and leave it to those who use it."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        embedded.release(embedded.acquire(data_dir))
    except KeyboardInterrupt:
        return 130
    except IngestError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
