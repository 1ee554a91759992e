"""`python -m benchmarks baseline` and `python -m benchmarks compare`."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.baseline.compared import differences
from benchmarks.baseline.followed import follow
from benchmarks.baseline.programs import Program
from benchmarks.baseline.scenes import Scene, Stage, mistakes, past, present
from benchmarks.bench_server import server
from benchmarks.report import tell

_SCENES: dict[str, Scene] = {"past": past, "present": present, "follow": follow, "mistakes": mistakes}


def baseline(words: Sequence[str]) -> int:
    """Write down what a program does; 0 when all scenes ran."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks baseline", description=baseline.__doc__)
    parser.add_argument("--program", type=Path, required=True, help="a kalshi-ingest, of any checkout")
    parser.add_argument("--simulator", type=Path, required=True, help="a kalshi-ingest whose simulate serves")
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--scene", action="append", choices=list(_SCENES), help="all by default")
    arguments = parser.parse_args(words)
    arguments.out.mkdir(parents=True)
    asyncio.run(_play(arguments))
    return 0


async def _play(arguments: argparse.Namespace) -> None:
    with server() as running, tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        home.mkdir()
        stage = Stage(
            running,
            Program(arguments.program.absolute(), home),
            arguments.simulator.absolute(),
            arguments.out,
            Path(place),
        )
        for name in arguments.scene or _SCENES:
            began = time.monotonic()
            await _SCENES[name](stage)
            tell(f"{name}: {time.monotonic() - began:.0f} s")


def compare(words: Sequence[str]) -> int:
    """0 when two baselines are identical, 1 when they differ: the differences are listed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=compare.__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--without-words", action="store_true", help="leave out what is said to people (words.txt)")
    parser.add_argument("--lines", type=int, default=6, help="lines shown of each difference (default 6)")
    arguments = parser.parse_args(words)
    found = differences(arguments.before, arguments.after, words=not arguments.without_words)
    for path, lines in found.items():
        print("\n".join([path, *(f"  {line:.300}" for line in lines[: arguments.lines])]))
    print(f"{len(found)} files differ" if found else "identical")
    return 1 if found else 0
