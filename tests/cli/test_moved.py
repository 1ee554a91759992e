"""A host that has moved, as the commands meet it: said at once, exit 2; the service says it and waits."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime

import aiohttp
import pytest
from aiohttp import web

from kalshi_simulator import Limits, Simulator, SyntheticWorld, WorldConfig
from tests.cli.test_cli import one_line, run
from tests.cli.test_follow import asked, following, settings, stopped, until, until_ready
from tests.exchange.serving import PREFIX, serving


@pytest.fixture
async def moved() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=301, headers={"Location": f"https://new.example{request.path_qs}"})

    async with serving(answer) as url:
        yield url


async def test_commands_say_where_it_has_moved(moved: str, database_url: str) -> None:
    host = moved.removesuffix(PREFIX)
    known = {"DATABASE_URL": database_url, "API_URL": moved, "IEM_URL": host}
    dates = ("--start", "2025-11-12", "--end", "2025-11-12", "--city", "chicago")
    commands = {("backfill", *dates): "API_URL", ("weather", "settlement", *dates): "IEM_URL"}
    results = await asyncio.gather(*(run(*command, **known) for command in commands))
    for (command, setting), result in zip(commands.items(), results, strict=True):
        shown = replace(result, out="") if command[0] == "weather" else result  # its plan comes before
        new = f"https://new.example{PREFIX if setting == 'API_URL' else ''}"
        one_line(shown, code=2, saying=f"set KALSHI_INGEST_{setting} to {new}")
        assert "later" not in result.err


async def test_the_service_waits_for_a_host_that_has_moved(database_url: str) -> None:
    config = WorldConfig(
        start=date(2026, 6, 9),
        end=date(2026, 6, 10),
        now=datetime(2026, 6, 10, 18, tzinfo=UTC),
        cities=("KXHIGHCHI", "KXHIGHDEN"),
    )
    async with Simulator(SyntheticWorld(config), Limits(requests_per_second=200)) as exchange:
        has_moved = True

        async def answer(request: web.Request) -> web.StreamResponse:
            new = "https://new.example" if has_moved else exchange.url.removesuffix(PREFIX)
            if has_moved:
                return web.Response(status=308, headers={"Location": f"{new}{request.path_qs}"})
            async with http.get(f"{new}{request.path_qs}") as found:
                return web.Response(
                    status=found.status, body=await found.read(), headers={"Date": found.headers["Date"]}
                )

        async with aiohttp.ClientSession() as http, serving(answer) as url:
            known = settings(exchange, database_url) | {"API_URL": url}
            async with following(known, "--stale-after", "5") as process:

                async def says_so() -> bool:
                    status, body = await asked(known, "/readyz")
                    return status == 503 and "exchange away" in body

                await until(says_so)
                has_moved = False
                await until_ready(known)
                result = await stopped(process)
    assert result.code == 0
    assert "set KALSHI_INGEST_API_URL to https://new.example" in result.err
