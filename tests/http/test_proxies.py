"""Every client goes through the proxy that the environment names, and tells what it refuses, without its password."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import aiohttp
import pytest
import structlog
from aiohttp import web

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.errors import OutOfReach, ServiceUnusable
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.exchange.websocket import Channel, channel_url
from kalshi_ingest.http.address import address_of
from kalshi_ingest.http.client import Pacer, learn_time
from kalshi_ingest.http.proxies import proxy_for
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.http.server_clock import ServerClock
from kalshi_ingest.weather.sources import client as weather
from tests.exchange.serving import PREFIX
from tests.http.test_obstacles import certificate, identity
from tests.support.forward_proxy import proxying

HOST = "kalshi.invalid"
"""A name that no resolver knows (RFC 6761)."""
QUICK = RetryPolicy(attempts=2, first_delay=0.001, random=Random(1))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def hidden(folder: Path, scheme: str) -> AsyncIterator[tuple[dict[str, int], str, aiohttp.ClientSession]]:
    """An exchange and weather service that only a proxy can reach, its API's URL, and who trusts its certificate."""
    file, context = certificate(folder, host=HOST, days=(-1, 1))

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.receive()
            return socket
        return web.json_response({"exchange_active": True})

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context if scheme == "https" else None).start()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(file)))
        async with aiohttp.ClientSession(connector=connector) as http:
            yield {HOST: runner.addresses[0][1]}, f"{scheme}://{HOST}{PREFIX}", http
    finally:
        await runner.cleanup()


async def by_rest(http: aiohttp.ClientSession, url: str, _: Signer) -> None:
    client = Client(http, url, Pacer(1000), retry=QUICK)
    for _again in range(2):
        await client.get("/thing", {"limit": "1"}, identity)


async def by_weather(http: aiohttp.ClientSession, url: str, _: Signer) -> None:
    retry = RetryPolicy(attempts=2, first_delay=0.001)
    service = weather.Service(http, address_of("IEM", url), requests_per_second=1000, retry=retry)
    for _again in range(2):
        await service.get("/thing", {"a": "b"})


async def by_channel(http: aiohttp.ClientSession, url: str, signer: Signer) -> None:
    channel = Channel(http, channel_url(url), signer.at(utc_now), lambda _: None, Random(1))
    with structlog.testing.capture_logs() as logged:
        running = asyncio.create_task(channel.run(lambda: {"A"}))
        try:
            while not channel.stats.connections and not logged:
                await asyncio.sleep(0.01)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    if not channel.stats.connections:
        raise ServiceUnusable(str(logged))


Ask = Callable[[aiohttp.ClientSession, str, Signer], Awaitable[None]]
CLIENTS = pytest.mark.parametrize("ask", [by_rest, by_weather, by_channel])


@CLIENTS
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("upper", [True, False], ids=["HTTP_PROXY", "http_proxy"])
async def test_every_client_goes_through_the_proxy(
    ask: Ask, scheme: str, upper: bool, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer("key", key_file)
    async with hidden(tmp_path, scheme) as (hosts, url, http), proxying(hosts, login="me:hunter 2/@") as proxy:
        variable = f"{scheme}_proxy"
        named = proxy.url.replace("://", "://me:hunter%202%2F%40@")
        monkeypatch.setenv(variable.upper() if upper else variable, named)
        await asyncio.wait_for(ask(http, url, signer), 10)
        assert proxy.asked[0].startswith(f"CONNECT {HOST}:443 " if scheme == "https" else f"GET http://{HOST}/")
        assert "?limit" not in proxy.asked[0] or scheme == "http"


@CLIENTS
@pytest.mark.parametrize(
    ("refusal", "login"),
    [
        ("403 Forbidden", ""),
        ("407 Proxy Authentication Required", ""),
        ("407 Proxy Authentication Required", "me:hunter2@"),
        ("503 Service Unavailable", "me:hunter2@"),
    ],
)
async def test_what_a_proxy_refuses(
    ask: Ask,
    refusal: str,
    login: str,
    tmp_path: Path,
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with hidden(tmp_path, "https") as (hosts, url, http), proxying(hosts, refusal=refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", f"://{login}"))
        with pytest.raises((ServiceUnusable, OutOfReach)) as caught:
            await asyncio.wait_for(ask(http, url, Signer("key", key_file)), 10)
    said, saying = str(caught.value), refusal[:3]
    assert f"the proxy {proxy.url} (HTTPS_PROXY)" in said
    assert "hunter2" not in said
    if ask is by_channel:
        assert saying in said
    elif saying == "407":
        assert ("refuses its user or password" if login else "wants a user and password") in said
        assert len(proxy.asked) == 1
    elif saying == "403":
        assert f"refuses to connect to {HOST} (status 403)" in said
        assert len(proxy.asked) == 1
    else:
        assert isinstance(caught.value, OutOfReach)
        assert f"does not connect to {HOST}: status 503" in said


@pytest.mark.parametrize("ask", [by_rest, by_weather])
async def test_a_password_wanted_for_a_plain_address(
    ask: Ask, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hidden(tmp_path, "http") as (hosts, url, http), proxying(hosts, login="me:other") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://me:hunter2@"))
        with pytest.raises(ServiceUnusable, match="refuses its user or password: check them in HTTP_PROXY") as caught:
            await ask(http, url, Signer("key", key_file))
    assert "hunter2" not in str(caught.value)


@CLIENTS
async def test_a_proxy_that_is_not_there(
    ask: Ask, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    for proxy in (f"me:hunter2@127.0.0.1:{unused_tcp_port}", "http://me:hunter2@proxy.invalid:3128"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        async with hidden(tmp_path, "https") as (_, url, http):
            with pytest.raises((ServiceUnusable, OutOfReach)) as caught:
                await asyncio.wait_for(ask(http, url, Signer("key", key_file)), 10)
        assert f"the proxy http://{proxy.rpartition('@')[2]} (HTTPS_PROXY)" in str(caught.value)
        assert "hunter2" not in str(caught.value)


async def test_the_weather_clock_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response()

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with proxying({HOST: runner.addresses[0][1]}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        clock = ServerClock()
        await learn_time(clock, f"http://{HOST}")
    await runner.cleanup()
    assert clock.known
    assert proxy.asked


@pytest.mark.parametrize(
    ("no_proxy", "url", "through"),
    [
        ("", "https://api.kalshi.com/x", True),
        ("kalshi.com", "https://api.kalshi.com/x", False),
        (".kalshi.com, other", "https://api.kalshi.com/x", False),
        ("shi.com", "https://api.kalshi.com/x", True),
        ("*", "https://api.kalshi.com/x", False),
        ("api.kalshi.com:8443", "https://api.kalshi.com:8443/x", False),
        ("api.kalshi.com:8443", "https://api.kalshi.com/x", True),
        ("", "http://api.kalshi.com/x", False),  # only https has a proxy here
        ("", "https://127.0.0.1:8780", False),
        ("", "https://localhost:8780", False),
        ("", "https://[::1]:8780", False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_who_is_reached_directly(
    no_proxy: str, url: str, through: bool, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv(variable, no_proxy)
    assert (proxy_for(url) is not None) is through


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://me:hunter2@proxy.example:1080",
        "https://me:hunter2@proxy.example:3128",
        "http://me:hunter2/@proxy.example:3128",
        "http://me:hunter2@@proxy.example:3128",
        "http://me:hunter2#@proxy.example:3128",
        "http://me:hunter2@proxy.example:99999",
        "http://",
    ],
)
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ServiceUnusable, match="HTTPS_PROXY") as caught:
        proxy_for("https://api.kalshi.com")
    assert "hunter2" not in str(caught.value)
    assert "http://" in str(caught.value)
