"""Limits on the connections of callers, so that they cost the service nothing it needs elsewhere.

asyncio's own server accepts everything, waits for ever for a request to end, and without free file descriptors logs a
traceback a connection: half-open connections would starve the database, the exchange and the health checks.
"""

import asyncio
import errno
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

MOST_CONNECTIONS = 64
"""At the same time; fewer where the process may open few files."""
REQUEST_SECONDS = 5.0
"""For a request's line and headers to arrive whole."""
LONGEST_SECONDS = 30.0
"""For everything: the request, its answer, and the time that a slow reader takes for it."""

_SHARE_OF_FILES = 8
"""At most one in so many of the files that the process may open is a caller's connection."""
_FEWEST = 8
_MOST_FILES = 65_536
_BACKLOG = 1024
_LOOK_SECONDS = 0.25
_AGAIN_SECONDS = 0.5
"""After no connection could be accepted."""
_LOG_SECONDS = 60.0

log = structlog.get_logger(__name__)


_ABSENT = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""What an address of `localhost` meets where IPv6 is switched off."""


@dataclass(slots=True)
class _Caller:
    transport: asyncio.Transport
    since: float
    heard: bool = False
    """Whether a whole request has arrived."""

    @property
    def gone(self) -> bool:
        """Closed for good: a transport that still has something to send holds its file."""
        opened: socket.socket | None = self.transport.get_extra_info("socket")
        return opened is None or opened.fileno() == -1


class Door:
    """Accepts connections. When there are too many, the oldest that has not asked anything yet is closed.

    A health check asks at once, so it is answered beside any number of connections that ask nothing.
    """

    def __init__(self) -> None:
        self._most = max(
            _FEWEST, min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE_OF_FILES)
        )
        self._callers: dict[asyncio.BaseTransport, _Caller] = {}
        """In the order in which they came."""
        self._listening: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._logged_at = float("-inf")

    async def open(self, serve: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> int:
        """Listen on every address of `host`; returns the port, a free one for 0. `serve` handles one connection.

        Raises `OSError` when the host has no address here, and when another program listens on one.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        absent: OSError | None = None
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                self._listening.append(_listening(family, address))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
        if absent is not None and not self._listening:
            raise absent
        self._tasks = [loop.create_task(self._accept(each, serve), name="door") for each in self._listening]
        self._tasks.append(loop.create_task(self._look_after(), name="door: look after"))
        return int(self._listening[0].getsockname()[1])

    def heard(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request has arrived on this connection."""
        if transport is not None and (caller := self._callers.get(transport)) is not None:
            caller.heard = True

    async def close(self) -> None:
        """Accept no more; the connections there are stay as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._listening:
            listening.close()

    async def _accept(self, listening: socket.socket, serve: Callable[[], asyncio.BaseProtocol]) -> None:
        """One after another, so that what each asks is read before many more have come."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._cannot(error)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            self._make_room(self._most - 1)
            try:
                transport, _ = await loop.connect_accepted_socket(serve, connection)
            except BaseException as error:
                connection.close()
                if not isinstance(error, OSError):
                    raise
            else:
                self._callers[transport] = _Caller(transport, loop.time())

    def _make_room(self, most: int) -> None:
        """Leave at most so many connections."""
        self._callers = {transport: caller for transport, caller in self._callers.items() if not caller.gone}
        too_many = len(self._callers) - most
        if too_many > 0:
            in_order = sorted(self._callers.values(), key=lambda caller: caller.heard)  # else as they came
            for caller in in_order[:too_many]:
                self._end(caller)

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for caller in list(self._callers.values()):
                age = loop.time() - caller.since
                if caller.gone or age > (LONGEST_SECONDS if caller.heard else REQUEST_SECONDS):
                    self._end(caller)

    def _end(self, caller: _Caller) -> None:
        caller.transport.abort()
        self._callers.pop(caller.transport, None)

    def _cannot(self, error: OSError) -> None:
        """No file is left for another connection: one of those there are is given up for it."""
        self._make_room(len(self._callers) - 1)
        now = asyncio.get_running_loop().time()
        if now - self._logged_at > _LOG_SECONDS:
            self._logged_at = now
            advice = "allow the process more open files (ulimit -n)" if error.errno == errno.EMFILE else None
            log.warning("accept_failed", reason=error.strerror, advice=advice)


def raise_file_limit() -> None:
    """Let this process open as many files as it may; the customary 1024 are for programs of another time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # as in a container that forbids it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listening(family: int, address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made
