"""Each program under test runs in a process of its own, so that no run inherits another's memory or caches."""

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench_exchange import END, Exchange

UNCAPPED = 100_000.0
"""Requests a second of a client that shall not be held back."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one program: from its first request to its last commit."""

    seconds: float
    cpu_seconds: float
    trades: int
    candles: int = 0

    @property
    def rate(self) -> float:
        """Trades a second."""
        return self.trades / self.seconds


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended, as the kernel saw it."""

    code: int
    peak_megabytes: float
    seconds: float
    cpu_seconds: float


async def measure(module: str, arguments: Mapping[str, Any]) -> Measured:
    """Run `python -m benchmarks.<module>` and take in what it measured."""
    return Measured(**await told(module, arguments))


async def told(module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run `python -m benchmarks.<module>` and take in the JSON that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"benchmarks.{module}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(arguments).encode())
    if process.returncode != 0:
        raise RuntimeError(f"benchmarks.{module} ended with {process.returncode}")
    answer: dict[str, Any] = json.loads(out)
    return answer


def given() -> dict[str, Any]:
    """In the child: what `measure` passed on."""
    arguments: dict[str, Any] = json.loads(sys.stdin.read())
    return arguments


async def timed(work: Callable[[], Awaitable[tuple[int, int]]]) -> None:
    """In the child: do `work`, which returns how many trades and candles it wrote, and report to the parent."""
    cpu, started = time.process_time(), time.perf_counter()
    trades, candles = await work()
    seconds = time.perf_counter() - started
    print(json.dumps(asdict(Measured(seconds, time.process_time() - cpu, trades, candles))))


async def backfill(source: Exchange, database_url: str, pace: float) -> Finished:
    """Run the real command line, `kalshi-ingest backfill`, over the whole world, and watch its memory."""
    words = ["backfill", "--start", str(source.world.start), "--end", str(END)]
    words += ["--api-url", source.url, "--requests-per-second", str(pace)]
    return await ran(words, database_url)


async def ran(
    words: Sequence[str], database_url: str, *, fine: Collection[int] = (0,), program: Path | None = None
) -> Finished:
    """Run `kalshi-ingest` with these words, and watch it; `program`: another checkout's.

    Raises RuntimeError for an exit code that is not `fine`.
    """
    command = [*([sys.executable, "-m", "kalshi_ingest"] if program is None else [str(program)]), *words]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_INGEST_")}
    environment = inherited | {"KALSHI_INGEST_DATABASE_URL": database_url}
    return await asyncio.to_thread(_watched, command, environment, fine)


def _watched(command: list[str], environment: Mapping[str, str], fine: Collection[int]) -> Finished:
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        quiet = [(os.POSIX_SPAWN_DUP2, said.fileno(), descriptor) for descriptor in (1, 2)]
        child = os.posix_spawn(command[0], command, environment, file_actions=quiet)
        _, status, used = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in fine:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace")[-2000:])
            raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return Finished(code, megabytes(used), time.perf_counter() - started, used.ru_utime + used.ru_stime)


def megabytes(used: resource.struct_rusage) -> float:
    """The peak of resident memory."""
    unit = 1 if sys.platform == "darwin" else 1024
    return used.ru_maxrss * unit / 1e6
