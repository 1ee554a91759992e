"""What machines ask the service: alive, ready, measured; and what nobody may do to it."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import aiohttp
import pytest

from kalshi_ingest.clocks import steady
from kalshi_ingest.errors import Unusable
from kalshi_ingest.follow.state import DATABASE_SECONDS, Phase
from kalshi_ingest.web.app import serving
from tests.support.backfills import fetch
from tests.support.patience import ENDS, until
from tests.web.support import CHICAGO, MIAMI, following

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"
OURS = "kalshi_ingest %"
ENDPOINTS = ("/livez", "/readyz", "/metrics", "/")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


async def test_alive_without_a_database(session: aiohttp.ClientSession) -> None:
    async with serving(following(), NOBODY, "127.0.0.1", 0) as url, session.get(f"{url}/livez") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_ready_once_the_database_answered(database_url: str, session: aiohttp.ClientSession) -> None:
    state = following()
    async with serving(state, database_url, "127.0.0.1", 0) as url:
        await until(lambda: state.database_seen_at is not None)
        async with session.get(f"{url}/readyz") as answer:
            assert (answer.status, await answer.json()) == (200, {"ready": True})


async def test_a_fault_in_an_answer_is_that_answers_alone(session: aiohttp.ClientSession) -> None:
    state = following()
    del state.series["KXHIGHCHI"].fresh_at  # whatever nobody foresaw
    async with serving(state, NOBODY, "127.0.0.1", 0) as url:
        for path, status in (("/readyz", 500), ("/livez", 200)):
            async with session.get(f"{url}{path}") as answer:
                assert answer.status == status
    assert state.faults == 1, "counted, as in the job"


async def test_not_ready_says_why(session: aiohttp.ClientSession) -> None:
    state = following(CHICAGO, MIAMI)
    state.series["KXHIGHCHI"].fresh_at = None
    state.series["KXHIGHMIA"].fresh_at = steady() - 4000
    state.phase = Phase.CATCHING_UP
    async with serving(state, NOBODY, "127.0.0.1", 0) as url, session.get(f"{url}/readyz") as answer:
        assert answer.status == 503
        told = await answer.json()
    *reasons, miami = told.pop("reasons")
    assert told == {"ready": False, "phase": "catching up"}
    assert reasons == ["the database does not answer", "chicago: not up to date yet"]
    assert re.fullmatch(r"miami: 4\d{3} s old, more than 3600 s", miami)


async def test_answers_are_quick_while_the_database_hangs(session: aiohttp.ClientSession) -> None:
    callers: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        callers.remove(writer)

    hanging = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    async with hanging, serving(following(), f"postgresql://u@127.0.0.1:{port}/d", "127.0.0.1", 0) as url:
        page = asyncio.create_task(session.get(f"{url}/").__aenter__())
        for path in ("/livez", "/readyz", "/metrics"):
            async with session.get(url + path) as answer:
                await answer.read()
        assert not page.done()  # which gives up after seconds
        started = steady()
    assert steady() - started < ENDS  # also when a page is still waiting
    page.cancel()
    await asyncio.gather(page, return_exceptions=True)
    await until(lambda: not callers)


async def test_every_answer_forbids_what_it_does_not_need(session: aiohttp.ClientSession) -> None:
    async with serving(following(), NOBODY, "127.0.0.1", 0) as url:
        for path in (*ENDPOINTS, "/unknown"):
            async with session.get(url + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; ")
                assert "http" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["Cache-Control"] == "no-store"


async def test_head_is_answered_without_a_body(session: aiohttp.ClientSession) -> None:
    async with serving(following(), NOBODY, "127.0.0.1", 0) as url:
        for path, status in (("/livez", 200), ("/readyz", 503), ("/metrics", 200), ("/", 200)):
            async with session.head(url + path) as answer:
                assert (answer.status, await answer.read()) == (status, b"")


async def test_nothing_can_be_written(session: aiohttp.ClientSession) -> None:
    async with serving(following(), NOBODY, "127.0.0.1", 0) as url:
        for path in ENDPOINTS:
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                async with session.request(method, url + path, data=b"x") as answer:
                    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")


async def test_an_unknown_path_is_not_repeated(session: aiohttp.ClientSession) -> None:
    path, headers = "<script>alert(1)</script>", {"Host": "<b>evil</b>"}
    async with (
        serving(following(), NOBODY, "127.0.0.1", 0) as url,
        session.get(f"{url}/{path}", headers=headers) as answer,
    ):
        assert (answer.status, await answer.text()) == (404, "Not Found\n")
        assert answer.content_type == "text/plain"


async def test_a_foreign_host_name_shows_nowhere(session: aiohttp.ClientSession) -> None:
    headers = {"Host": "evil.example"}
    async with serving(following(), NOBODY, "127.0.0.1", 0) as url, session.get(f"{url}/", headers=headers) as answer:
        assert "evil.example" not in await answer.text()


async def test_a_taken_port_is_the_users_to_change(taken: int) -> None:
    with pytest.raises(Unusable, match=rf"port {taken} of 127\.0\.0\.1 is taken .*KALSHI_INGEST_HTTP_PORT"):
        async with serving(following(), NOBODY, "127.0.0.1", taken):
            pass


async def test_an_address_of_another_machine_is_the_users_to_change() -> None:
    with pytest.raises(Unusable, match=r"cannot listen on 192\.0\.2\.1, port 0: .*KALSHI_INGEST_HTTP_HOST"):
        async with serving(following(), NOBODY, "192.0.2.1", 0):
            pass


async def test_it_listens_where_it_was_told_and_nowhere_else() -> None:
    async with serving(following(), NOBODY, "127.0.0.1", 0) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.2", port)


async def test_it_is_gone_afterwards(database_url: str, session: aiohttp.ClientSession) -> None:
    async with serving(following(), database_url, "127.0.0.1", 0) as url, session.get(f"{url}/") as answer:
        assert answer.status == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await session.get(f"{url}/livez")
    assert all(task.get_name() != "database watch" for task in asyncio.all_tasks())
    [(left,)] = await fetch(database_url, "select count(*) from pg_stat_activity where application_name like $1", OURS)
    assert left == 0


async def test_a_database_that_answers_rarely_is_no_database(session: aiohttp.ClientSession) -> None:
    state = following()
    state.database_seen_at = steady() - DATABASE_SECONDS - 1
    async with serving(state, NOBODY, "127.0.0.1", 0) as url, session.get(f"{url}/readyz") as answer:
        assert (await answer.json())["reasons"] == ["the database does not answer"]
