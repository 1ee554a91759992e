"""A week of the exchange's life, followed while its clock runs some thousand times too fast."""

import asyncio
import re
import signal
import socket
from datetime import UTC, datetime

import aiohttp

from benchmarks.baseline.masks import COLUMNS, FIELDS, FIELDS_OF_FOLLOWING, OF_FOLLOWING, ONCE_OF_FOLLOWING
from benchmarks.baseline.programs import Exchange, ended, simulating
from benchmarks.baseline.scenes import Stage
from benchmarks.bench_server import database, fetch_rows

_WORDS = ("--city", "chicago", "--city", "la", "--start", "2025-07-01", "--weather", "none")
_WORLD = ("--start", "2025-07-01", "--end", "2025-07-07", "--from", "2025-07-03T06:00:00Z", "--archive-age", "4")
_SIZE = ("--trades-per-market", "60", "--seed", "5")
_ENDS = datetime(2025, 7, 9, 12, tzinfo=UTC)
"""Everything has settled."""
_SPEED = 8_000
_DATES = 7
_SECONDS = 400
_DONE = """
select count(distinct event_date) filter (where state = 'complete') as dates,
       count(*) filter (where state is distinct from 'complete') as left
from markets left join checkpoints using (ticker, event_date)
"""


async def follow(stage: Stage) -> None:
    """It is started two days late, lives to the end of the week, and is stopped when all is proved."""
    async with simulating(stage.simulator, *_WORLD, *_SIZE, "--speed", "0") as source, database(stage.server) as url:
        port = _free_port()
        settings = {"DATABASE_URL": url, "API_URL": source.url, "LOG_FORMAT": "json", "HTTP_PORT": str(port)}
        settings |= {"REQUESTS_PER_SECOND": "80"}
        record = stage.record("follow", {source.url: "<exchange>", f"127.0.0.1:{port}": "<service>"})
        record.columns = (*COLUMNS, *OF_FOLLOWING)
        record.fields = {**FIELDS, **FIELDS_OF_FOLLOWING}
        record.once = ONCE_OF_FOLLOWING
        process = await stage.program.start("follow", *_WORDS, **settings)
        end = asyncio.create_task(ended(process))
        try:
            await source.clock(speed=_SPEED)
            await _lived(source, url, end)
            metrics = await _asked(port, "/metrics")
            ready = [await _asked(port, path) for path in ("/livez", "/readyz")]
            process.send_signal(signal.SIGTERM)
            record.keep("follow", ("follow", *_WORDS), await end)
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.wait([end])
        record.words("answers", "".join(ready))
        record.lines("metrics", sorted(set(re.findall(r"^# TYPE (.*)$", metrics, re.MULTILINE))))
        await record.tables("lived", url)
        for name, words in {
            "status": ("status", "--json"),
            "coverage": ("coverage", "--json", *_WORDS[:4]),
            "backfill": ("backfill", "--start", "2025-07-01", "--end", "2025-07-07", *_WORDS[:4]),
        }.items():
            await record.run(name, *words, **settings)
        await record.tables("backfilled", url)


async def _lived(source: Exchange, url: str, end: "asyncio.Task[object]") -> None:
    async with asyncio.timeout(_SECONDS):
        while datetime.fromisoformat(await source.clock()) < _ENDS:
            await _pause(end)
        await source.clock(speed=0)
        while tuple((await fetch_rows(url, _DONE))[0]) != (_DATES, 0):
            await _pause(end)


async def _pause(end: "asyncio.Task[object]") -> None:
    await asyncio.wait([end], timeout=0.3)
    if end.done():
        raise RuntimeError(f"follow ended: {end.result()}")


async def _asked(port: int, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return f"{path} {answer.status}\n{await answer.text()}"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
