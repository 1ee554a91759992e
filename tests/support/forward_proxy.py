"""A forward proxy as companies have it: CONNECT, requests with the whole URL, a password, hosts that it refuses."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class ForwardProxy:
    """Knows hosts that nobody else can reach."""

    def __init__(self, hosts: dict[str, int], login: str = "", refusal: str = "") -> None:
        """`hosts`: name → port on this machine. `login`: USER:PASSWORD. `refusal`: what every request is answered."""
        self.asked: list[str] = []
        """The first lines of all requests."""
        self.url = ""
        self._hosts = hosts
        self._login = login
        self._refusal = refusal

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, to the end."""
        back, onward = None, None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, _, rest = head.decode("latin-1").partition("\r\n")
                self.asked.append(line)
                method, target, _ = line.split(" ")
                if (refusal := self._refused(rest)) is not None:
                    writer.write(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode())
                    continue
                url = urlsplit(target if method != "CONNECT" else f"//{target}")
                if onward is None:
                    there, onward = await asyncio.open_connection("127.0.0.1", self._hosts[url.hostname or ""])
                    if method == "CONNECT":
                        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = asyncio.create_task(pass_on(there, writer))
                if method == "CONNECT":
                    await pass_on(reader, onward)
                    return
                path = (url.path or "/") + (f"?{url.query}" if url.query else "")
                onward.write(f"{method} {path} HTTP/1.1\r\n{rest}".encode("latin-1"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if back is not None:
                back.cancel()
            if onward is not None:
                onward.close()
            writer.close()

    def _refused(self, headers: str) -> str | None:
        if self._refusal:
            return self._refusal
        wanted = f"proxy-authorization: basic {base64.b64encode(self._login.encode()).decode()}".lower()
        if self._login and wanted not in headers.lower():
            return "407 Proxy Authentication Required"
        return None


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that comes, to the end."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def proxying(hosts: dict[str, int], *, login: str = "", refusal: str = "") -> AsyncIterator[ForwardProxy]:
    """A proxy on a free port, for a `with` block."""
    proxy = ForwardProxy(hosts, login, refusal)
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.talk(reader, writer))
        talks.add(task)
        await asyncio.wait({task})

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
