"""Connections that ask nothing, or slowly, or never read: nobody else notices them. Real sockets, real processes."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from aiohttp import web

from kalshi_ingest.web import door
from kalshi_ingest.web.app import serving
from kalshi_ingest.web.door import MOST_CONNECTIONS, Door, raise_file_limit
from tests.support import processes
from tests.support.patience import until
from tests.web.behind_a_door import NOBODY
from tests.web.support import following

HALF = b"GET / HTTP/1.1\r\nX-a: "


@pytest.fixture(autouse=True, scope="module")
def many_files() -> None:
    raise_file_limit()


class Crowd:
    """Half-open connections to one address; each counts as closed once the other side ended it."""

    def __init__(self, host: str, port: int) -> None:
        self._where = host, port
        self._writers: list[asyncio.StreamWriter] = []
        self._ends: list[asyncio.Task[None]] = []

    async def come(self, number: int, said: bytes = HALF) -> None:
        for _ in range(number):
            reader, writer = await asyncio.open_connection(*self._where)
            self._writers.append(writer)
            with suppress(ConnectionError):
                writer.write(said)
            self._ends.append(asyncio.create_task(self._end(reader)))

    async def _end(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await reader.read()

    @property
    def open(self) -> int:
        return sum(not end.done() for end in self._ends)

    async def all_closed(self) -> None:
        await asyncio.gather(*self._ends)

    async def leave(self) -> None:
        for writer in self._writers:
            writer.close()
        for end in self._ends:
            end.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)


@asynccontextmanager
async def crowd(url: str) -> AsyncIterator[Crowd]:
    parts = urlsplit(url)
    come = Crowd(parts.hostname or "", parts.port or 0)
    try:
        yield come
    finally:
        await come.leave()


@asynccontextmanager
async def service(files: int) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    words = (sys.executable, "-m", "tests.web.behind_a_door", str(files))
    folder = processes.NO_SETTINGS_HERE
    process = await processes.start(*words, env=processes.environment({}), cwd=folder, stdin=-1, stdout=-1, stderr=-1)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def alive(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/livez") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_1100_half_open_connections_keep_nobody_from_asking() -> None:
    async with service(1024) as (url, process), crowd(url) as half_open:
        for _ in range(11):
            await half_open.come(100)
            await alive(url)
            assert psutil.Process(process.pid).num_fds() < MOST_CONNECTIONS + 30
        await until(lambda: half_open.open <= MOST_CONNECTIONS)
        process.terminate()
        _, err = await process.communicate()
        assert b"Traceback" not in err
        assert len(err) < 10_000


@pytest.mark.parametrize("others", [["192.0.2.1"], ["192.0.2.1", "127.0.0.1"]])
async def test_an_address_that_this_machine_lacks_is_left_out(
    others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ::1 of localhost, where IPv6 is off."""

    async def found(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in others]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    opened = Door()
    try:
        if len(others) == 1:
            with pytest.raises(OSError, match="Cannot assign requested address"):
                await opened.open(asyncio.Protocol, "localhost", 0)
        else:
            assert await opened.open(asyncio.Protocol, "localhost", 0) > 0
    finally:
        await opened.close()


async def test_without_a_file_left_one_line_says_so_and_it_passes() -> None:
    async with service(128) as (url, process), crowd(url) as half_open:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"take\n")
        assert await process.stdout.readline() == b"done\n"
        await half_open.come(50)
        assert b"ulimit -n" in await process.stderr.readline()
        process.stdin.write(b"free\n")
        assert await process.stdout.readline() == b"done\n"
        await alive(url)
        process.terminate()
        assert await process.stderr.read() == b""


@pytest.mark.parametrize(
    "said",
    [
        b"",
        HALF,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx",
        b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\n",
    ],
    ids=["nothing", "half a header", "a body that never ends", "TLS", "no header"],
)
async def test_what_never_ends_is_ended(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(door, "LONGEST_SECONDS", 0.6)
    async with serving(following(), NOBODY, "127.0.0.1", 0) as url, crowd(url) as slow:
        await slow.come(3, said)
        await slow.all_closed()
        await alive(url)


@asynccontextmanager
async def large_answers(asked: Callable[[], None]) -> AsyncIterator[int]:
    """A port behind a door; whoever asks gets more than any buffer holds."""

    async def answer(request: web.BaseRequest) -> web.Response:
        opened.heard(request.transport)
        asked()
        return web.Response(body=b"x" * 64 * 2**20)

    opened, server = Door(), web.Server(answer)
    try:
        yield await opened.open(server, "127.0.0.1", 0)
    finally:
        await opened.close()
        await server.shutdown(0.1)


async def test_who_never_reads_the_answer_is_ended_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LONGEST_SECONDS", 0.6)
    asked = asyncio.Event()
    async with large_answers(asked.set) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asked.wait()
            connection = next(each for each in psutil.Process().net_connections("tcp") if _is_to(each, port))
            while any(each == connection for each in psutil.Process().net_connections("tcp")):
                await asyncio.sleep(0.05)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(65 * 2**20)
        finally:
            writer.close()


def _is_to(connection: object, port: int) -> bool:
    """The server's end of the one connection to `port`."""
    return bool(getattr(connection, "raddr", None)) and getattr(connection, "laddr", ("", 0))[1] == port


async def test_the_silent_make_room_before_those_who_are_being_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MOST_CONNECTIONS", 8)
    asked: list[None] = []
    async with large_answers(lambda: asked.append(None)) as port, crowd(f"http://127.0.0.1:{port}") as others:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: bool(asked))
            await others.come(40)
            assert len(await reader.readexactly(64 * 2**20)) == 64 * 2**20
        finally:
            writer.close()
