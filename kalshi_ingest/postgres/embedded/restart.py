"""The embedded server, restarted by a service that has to stay able to stop.

Recovery after a crash may take minutes, and a waiting thread cannot be ended; a process can. It is this module, run as
a program.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from kalshi_ingest import children
from kalshi_ingest.errors import DatabaseAway, IngestError
from kalshi_ingest.exit_codes import COMPLETE, INTERRUPTED, OUT_OF_REACH
from kalshi_ingest.postgres.embedded import server

_END_SECONDS = 1.0


async def start_again(data_dir: Path) -> None:
    """Make the server run again; `DatabaseAway` says why it does not.

    Cancelling this ends the waiting. A server that is recovering continues to recover. Raises `RuntimeError` with the
    traceback for a fault of the program itself.
    """
    process = await asyncio.create_subprocess_exec(
        *children.command_of(__name__, str(data_dir)),
        env=children.environment(),
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
    code, reason = await process.wait(), said.decode(errors="replace").strip()
    if code == OUT_OF_REACH:
        raise DatabaseAway(reason.rpartition("\n")[2] or "no reason given")
    if code == INTERRUPTED or code < 0:
        raise DatabaseAway("restarting the embedded PostgreSQL was interrupted")
    if code != COMPLETE:
        raise RuntimeError(f"restarting the embedded PostgreSQL failed with code {code}:\n{reason}")


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
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        server.release(server.acquire(data_dir))
    except KeyboardInterrupt:
        return INTERRUPTED
    except IngestError as error:
        sys.stderr.write(f"{error}\n")
        return OUT_OF_REACH
    return COMPLETE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
