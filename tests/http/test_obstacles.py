"""What keeps every request from a service is told at once, with what to change; no key follows a redirect."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.x509.oid import NameOID

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.errors import IngestError, OutOfReach, Rejected, ServerFailed, Unusable
from kalshi_ingest.exchange.availability import STATUS_PATH
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.exchange.websocket import REFUSED_SECONDS, Channel, channel_url
from kalshi_ingest.http.address import address_of
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.settings import Settings
from kalshi_ingest.weather.sources.client import Service
from kalshi_ingest.weather.sources.visual_crossing import VisualCrossing
from tests.exchange.serving import GRACE, PREFIX, Handler, Reply, Script, asking, serving
from tests.exchange.websocket_stage import KEY_ID
from tests.support import virtual_clock

MOVES = (301, 302, 303, 307, 308)
ALIVE = Reply(body=b'{"exchange_active":true}')
PAGE = Reply(body=b"\n <!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"})
EVERY = ("thing", "exchange__status")


def identity(answer: Any) -> Any:
    return answer


def everywhere(reply: Reply) -> Script:
    return Script(**{path: [reply] for path in EVERY})


@asynccontextmanager
async def two_hosts(status: int) -> AsyncIterator[tuple[str, list[web.Request], list[web.Request]]]:
    """The address of one that sends everybody to another, what it is asked, and what the other is asked."""
    asked: list[web.Request] = []
    stolen: list[web.Request] = []

    async def other(request: web.Request) -> web.StreamResponse:
        stolen.append(request)
        return web.json_response({})

    async with serving(other) as elsewhere:

        async def moved(request: web.Request) -> web.StreamResponse:
            asked.append(request)
            return web.Response(status=status, headers={"Location": elsewhere.removesuffix(PREFIX) + request.path_qs})

        async with serving(moved) as url:
            yield url, asked, stolen


async def by_rest(http: aiohttp.ClientSession, url: str, signer: Signer) -> str:
    client = Client(http, url, Pacer(1000), signer=signer, retry=RetryPolicy(random=Random(1)))
    with pytest.raises(Unusable) as told:
        await client.get("/thing", {"limit": "1"}, identity)
    return str(told.value)


async def by_channel(http: aiohttp.ClientSession, url: str, signer: Signer) -> str:
    channel = Channel(http, channel_url(url), signer.at(utc_now), lambda _: None, Random(1))
    with structlog.testing.capture_logs() as logged:
        running = asyncio.create_task(channel.run(lambda: {"A"}))
        await asyncio.sleep(REFUSED_SECONDS / 2)  # on a virtual clock: it was refused, and is in no hurry
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert channel.stats.connections == 0
    (warned,) = [line for line in logged if line["log_level"] == "warning"]
    return f"{warned['reason']}: {warned['advice']}"


async def by_iem(http: aiohttp.ClientSession, url: str, _: Signer) -> str:
    service = Service(http, address_of("IEM", url.removesuffix(PREFIX)), requests_per_second=1000)
    with pytest.raises(Unusable) as told:
        await service.get("/thing", {"a": "b"})
    return str(told.value)


async def by_visual_crossing(http: aiohttp.ClientSession, url: str, _: Signer) -> str:
    service = VisualCrossing(http, url.removesuffix(PREFIX), "hunter2")
    with pytest.raises(Unusable) as told:
        await service.minutes(CITIES[0].station, date(2025, 7, 1), date(2025, 7, 1))
    return str(told.value)


@pytest.mark.parametrize("status", MOVES)
@pytest.mark.parametrize("ask", [by_rest, by_channel, by_iem, by_visual_crossing])
def test_nothing_follows_a_redirect(
    status: int, ask: Callable[[aiohttp.ClientSession, str, Signer], Awaitable[str]], key_file: Path
) -> None:
    async def scenario() -> tuple[str, int, int]:
        async with two_hosts(status) as (url, asked, stolen), aiohttp.ClientSession() as http:
            told = await ask(http, url, Signer(KEY_ID, key_file))
            return told, len(asked), len(stolen)

    told, asked, stolen = virtual_clock.run(scenario(), grace=GRACE)
    assert stolen == 0
    assert 1 <= asked <= 2
    assert "_URL" in told
    assert "hunter2" not in told
    assert "later" not in told


@pytest.mark.parametrize("name", ["IEM", "NCEI", "Visual Crossing"])
def test_the_setting_that_is_named_exists(name: str) -> None:
    setting = address_of(name, "http://h").setting
    assert setting.removeprefix("KALSHI_INGEST_").lower() in Settings.model_fields


def told(script: Script | Handler, signer: Signer | None = None, path: str = "/thing") -> IngestError:
    """The error of the very first request."""
    handler = script.answer if isinstance(script, Script) else script

    async def scenario() -> IngestError:
        async with serving(handler) as url, asking(url, signer=signer) as client:
            with pytest.raises(IngestError) as caught:
                await client.get(path, {}, identity)
            return caught.value

    result = virtual_clock.run(scenario(), grace=GRACE)
    assert isinstance(result, IngestError)
    return result


def test_a_new_address_is_named() -> None:
    script = everywhere(Reply(308, b"", {"Location": f"https://me:hunter2@new.example{PREFIX}/thing?key=hunter2"}))
    error = told(script)
    assert isinstance(error, Unusable)
    assert f"set KALSHI_INGEST_API_URL to https://new.example{PREFIX}" in str(error)
    assert "hunter2" not in str(error)
    assert len(script.seen) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410])
@pytest.mark.parametrize("signed", [True, False])
def test_who_is_refused_everywhere_is_told_at_once_what_to_change(status: int, signed: bool, key_file: Path) -> None:
    script = everywhere(Reply(status, b'{"error":{"code":"c","message":"m"}}'))
    error = told(script, Signer(KEY_ID, key_file) if signed else None)
    assert isinstance(error, Unusable)
    assert len(script.seen) == 2
    key = "KALSHI_INGEST_API_KEY_ID" in str(error)
    assert key is (signed and status in (401, 403))
    assert ("KALSHI_INGEST_API_URL" in str(error)) is (status in (404, 405, 410))
    assert "later" not in str(error)


@pytest.mark.parametrize("status", [*MOVES, 401, 403, 404, 410])
def test_one_refused_request_is_not_the_end(status: int) -> None:
    """Only this path is refused, be it the first that is asked or one of many."""
    first = Script(thing=[Reply(status, b"", {"Location": "/elsewhere"})], exchange__status=[ALIVE])
    assert isinstance(told(first), Rejected)
    assert [each.path for each in first.seen] == ["/thing", STATUS_PATH]


def test_a_web_page_in_place_of_json_is_told_soon() -> None:
    script = everywhere(PAGE)
    error = told(script)
    assert isinstance(error, OutOfReach)
    assert "web page" in str(error)
    assert "proxy" in str(error)
    assert "later" not in str(error)
    assert len(script.seen_at("/thing")) == 3
    alone = Script(thing=[PAGE], exchange__status=[ALIVE])
    assert isinstance(told(alone), ServerFailed)
    assert len(alone.seen_at("/thing")) == 7


class _NoSuchName(AbstractResolver):
    """What the system's resolver says of a name, without asking any network."""

    def __init__(self, number: int) -> None:
        self.asked = 0
        self.known: str | None = None
        """The address of every name, for a while."""
        self._error = socket.gaierror(number, "Name or service not known")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        if self.known is None:
            raise self._error
        return [ResolveResult(hostname=host, host=self.known, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(("number", "attempts"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 8)])
def test_a_name_that_does_not_exist_is_told_at_once(number: int, attempts: int) -> None:
    """An answer of the name service, as opposed to none: that passes, and gets the usual patience."""

    async def scenario() -> tuple[str, int]:
        resolver = _NoSuchName(number)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver)) as http:
            client = Client(http, "http://no.example" + PREFIX, Pacer(1000), retry=RetryPolicy(random=Random(1)))
            with pytest.raises(OutOfReach) as caught:
                await client.get("/thing", {}, identity)
            return str(caught.value), resolver.asked

    said, asked = virtual_clock.run(scenario(), grace=GRACE)
    assert asked == attempts
    assert ("no host is named no.example" in said) is (attempts == 1)
    assert ("later" in said) is (attempts > 1)


def certificate(folder: Path, *, host: str, days: tuple[int, int]) -> tuple[Path, ssl.SSLContext]:
    """A certificate of its own for `host`, valid from and until so many days from now; its file, and a server's."""
    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Company CA")])
    alternative: x509.GeneralName = x509.DNSName(host)
    if host.startswith("127."):
        alternative = x509.IPAddress(ipaddress.ip_address(host))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = folder / "ca.pem", folder / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return file, context


@pytest.mark.parametrize(
    ("host", "days", "known", "error", "saying"),
    [
        ("127.0.0.1", (-1, 1), False, Unusable, "SSL_CERT_FILE"),
        ("other.example", (-1, 1), True, Unusable, "for another host"),
        ("127.0.0.1", (-9, -1), True, OutOfReach, "check this machine's clock"),
        ("127.0.0.1", (1, 9), True, OutOfReach, "check this machine's clock"),
        ("127.0.0.1", (-1, 1), True, None, ""),
    ],
    ids=["unknown authority", "another host", "expired", "not yet valid", "fine"],
)
async def test_certificates(
    tmp_path: Path, host: str, days: tuple[int, int], known: bool, error: type[IngestError] | None, saying: str
) -> None:
    file, context = certificate(tmp_path, host=host, days=days)
    trusted = ssl.create_default_context(cafile=str(file) if known else None)
    script = Script(thing=[ALIVE])
    app = web.Application()
    app.router.add_get("/{rest:.*}", script.answer)
    runner = web.AppRunner(app, access_log=None)
    async with AsyncExitStack() as stack:
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}{PREFIX}"
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)))
        asked = Client(http, url, Pacer(1000)).get("/thing", {}, identity)
        if error is None:
            assert await asked == {"exchange_active": True}
            return
        with pytest.raises(error) as caught:
            await asked
    assert saying in str(caught.value)
    assert "attempts" not in str(caught.value)
    assert "later" not in str(caught.value)


async def test_tls_spoken_to_a_plain_port() -> None:
    async with serving(everywhere(ALIVE).answer) as url, asking(url.replace("http:", "https:")) as client:
        with pytest.raises(Unusable, match="does not speak TLS: check KALSHI_INGEST_API_URL"):
            await client.get("/thing", {}, identity)


def test_what_was_there_once_gets_patience() -> None:
    """A name that is unknown after good answers is trouble of the name service, and is asked for again."""

    async def scenario() -> tuple[str, int]:
        resolver = _NoSuchName(socket.EAI_NONAME)
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(serving(Script(thing=[ALIVE]).answer))
            connector = aiohttp.TCPConnector(resolver=resolver, force_close=True, use_dns_cache=False)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            client = Client(
                http, url.replace("127.0.0.1", "was.example"), Pacer(1000), retry=RetryPolicy(random=Random(1))
            )
            resolver.known = "127.0.0.1"
            await client.get("/thing", {}, identity)
            resolver.known = None
            await asyncio.sleep(60)
            with pytest.raises(OutOfReach) as caught:
                await client.get("/thing", {}, identity)
            return str(caught.value), resolver.asked

    said, asked = virtual_clock.run(scenario(), grace=GRACE)
    assert asked == 1 + 7
    assert "no host is named was.example" in said
