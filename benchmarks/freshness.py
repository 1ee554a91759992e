"""How long after a trade shows at the exchange is it committed, and does the service ever claim more than it holds?

Told by PostgreSQL itself, which notifies at commit, and by the service's own gauge, which is read twice a second.
"""

import asyncio
import contextlib
import math
import os
import re
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.bench_exchange import API_PATH
from benchmarks.bench_server import Server, database
from benchmarks.report import Row, tell
from kalshi_ingest.domain.cities import city_of_series

_PACE = 5.0
"""Requests a second: of the client, and of what the exchange allows."""
_FROM = "2026-06-10T16:00:00Z"
"""Two events of each city trade at this hour: 72 markets."""
_TRADES_PER_MARKET = 1500.0
"""Ten times the recorded mean, so that a run meets enough trades."""
_SECONDS, _QUICK_SECONDS = 600.0, 45.0
_CACHE_SECONDS = 15.0
"""As public notes report it of the exchange's own cache."""
_GAUGE = re.compile(r'^kalshi_ingest_data_age_seconds\{city="([^"]+)"\} (\S+)$', re.M)
_CHANGES = """
create function tell_row() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'trades' then
        perform pg_notify('landed', 'trade ' || extract(epoch from new.created_time) || ' ' || new.trade_id
            || ' ' || new.ticker);
    else
        perform pg_notify('landed', 'candle ' || extract(epoch from new.period_end) || ' ' || new.ticker
            || ' ' || new.period_minutes);
    end if;
    return null;
end $$;
create trigger landed after insert on trades for each row execute function tell_row();
create trigger landed after insert on candles for each row execute function tell_row();
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """At `looked` (the exchange's time, as all here) the gauge said that a city holds all that was made by `moment`."""

    city: str
    moment: float
    looked: float


@dataclass
class Landed:
    """Lags in seconds, of what happened after `since` (the exchange's time, Unix seconds), and what was claimed."""

    offset: float
    since: float = float("inf")
    trades: list[float] = field(default_factory=list)
    candles: list[float] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    not_ready: int = 0
    """Looks at which `/readyz` said no."""
    _made: list[tuple[str, float, float]] = field(default_factory=list)
    """City, moment made, moment committed, of each trade."""
    _seen: set[str] = field(default_factory=set)

    @property
    def now(self) -> float:
        """The exchange's time."""
        return datetime.now(UTC).timestamp() + self.offset

    def take(self, _: object, __: int, ___: str, payload: object) -> None:
        """One row is committed."""
        kind, moment, *rest = str(payload).split()
        # A minute's candle is written again, unchanged, with each other minute of its five-minute bucket.
        if str(payload) not in self._seen:
            self._seen.add(str(payload))
            now = self.now
            if kind == "trade":
                city = city_of_series(rest[1].partition("-")[0])
                self._made.append((city.key if city else "", float(moment), now))
            if float(moment) >= self.since:
                (self.trades if kind == "trade" else self.candles).append(now - float(moment))

    def untrue(self) -> int:
        """Looks at which the gauge was younger than the data: a trade made before the moment claimed came later."""
        return sum(
            any(
                city == claim.city and made <= claim.moment and committed > claim.looked
                for city, made, committed in self._made
            )
            for claim in self.claims
        )


async def run(server: Server, *, quick: bool) -> Sequence[Row]:
    """By polling without a key, then with the WebSocket, each without and behind a cache; five requests a second."""
    rows: list[Row] = []
    seconds = _QUICK_SECONDS if quick else _SECONDS
    with tempfile.TemporaryDirectory() as folder:
        key = _key(Path(folder))
        signed = ["--api-key-id", "bench", "--private-key-path", str(key)]
        for what, bar, cache, words in (
            ("polling", 3.0, 0.0, []),
            ("WebSocket", 1.0, 0.0, signed),
            ("polling, 15 s cache", None, _CACHE_SECONDS, []),
            ("WebSocket, 15 s cache", None, _CACHE_SECONDS, signed),
        ):
            tell(f"freshness: {what}, {seconds:.0f} s")
            async with (
                _simulator(key.with_suffix(".pub"), cache) as (url, offset),
                database(server) as database_url,
            ):
                landed = await _follow(url, database_url, Landed(offset), words, seconds)
            rows += _rows(what, bar, landed)
    return rows


def _rows(what: str, bar: float | None, landed: Landed) -> list[Row]:
    p99 = _share(landed.trades, 0.99)
    mean = sum(landed.trades) / max(1, len(landed.trades))
    shown = f"p99 {p99:.2f} s, median {_share(landed.trades, 0.5):.2f} s, mean {mean:.2f} s"
    shown += f", longest {max(landed.trades, default=math.nan):.2f} s of {len(landed.trades)}"
    candles = f"p99 {_share(landed.candles, 0.99):.2f} s, median {_share(landed.candles, 0.5):.2f} s"
    ages = [claim.looked - claim.moment for claim in landed.claims]
    untrue = landed.untrue()
    gauge = f"{untrue} of {len(ages)} looks; it said {_share(ages, 0.5):.1f} s (median), {max(ages):.1f} s at the most"
    return [
        Row(
            f"trade made → committed, {what}",
            shown,
            "" if bar is None else f"p99 <= {bar:g} s",
            None if bar is None else p99 <= bar,
        ),
        Row(f"period ended → candle committed, {what}", f"{candles} of {len(landed.candles)}"),
        Row(f"gauge younger than the data, {what}", gauge, "0", untrue == 0),
        Row(f"looks at which the service was not ready, {what}", f"{landed.not_ready}"),
    ]


def _share(lags: Sequence[float], share: float) -> float:
    return sorted(lags)[min(len(lags) - 1, int(len(lags) * share))] if lags else math.nan


async def _follow(url: str, database_url: str, landed: Landed, words: Sequence[str], seconds: float) -> Landed:
    port = _free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_INGEST_")}
    environment = inherited | {"KALSHI_INGEST_DATABASE_URL": database_url, "KALSHI_INGEST_HTTP_PORT": str(port)}
    command = [sys.executable, "-m", "kalshi_ingest", "follow", "--weather", "none", "--api-url", url]
    command += ["--requests-per-second", str(_PACE), "--log-level", "warning", *words]
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        await _until_ready(port)
        connection = await asyncpg.connect(database_url)
        await connection.execute(_CHANGES)
        await connection.add_listener("landed", landed.take)
        landed.since = landed.now
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _look(port, landed)
        await connection.close()
    finally:
        process.terminate()
        code = await process.wait()
    if code != 0:
        raise RuntimeError(f"follow ended with {code}")
    return landed


async def _look(port: int, landed: Landed) -> None:
    """Read the gauge of each city and the readiness twice a second."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        while True:
            asked = landed.now  # the gauge is read after this, so it claims no less than this lets it
            async with http.get("/metrics") as answer:
                text = await answer.text()
            looked = landed.now
            landed.claims += [Claim(city, asked - float(age), looked) for city, age in _GAUGE.findall(text)]
            async with http.get("/readyz") as answer:
                landed.not_ready += answer.status != 200
            await asyncio.sleep(0.5)


async def _until_ready(port: int) -> None:
    """Ready for ten seconds on end: the gap is closed."""
    ready_since = None
    async with aiohttp.ClientSession() as http, asyncio.timeout(180):
        while ready_since is None or datetime.now(UTC) - ready_since < timedelta(seconds=10):
            await asyncio.sleep(0.5)
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    ready_since = (ready_since or datetime.now(UTC)) if answer.status == 200 else None


@contextlib.asynccontextmanager
async def _simulator(public_key: Path, cache_seconds: float) -> AsyncIterator[tuple[str, float]]:
    """A simulated exchange in real time; its URL, and its time minus the wall's, in seconds."""
    command = [sys.executable, "-m", "kalshi_ingest", "simulate", "--port", "0", "--speed", "1", "--from", _FROM]
    command += ["--start", "2026-06-09", "--end", "2026-06-12", "--limit", str(_PACE)]
    command += ["--trades-per-market", str(_TRADES_PER_MARKET), "--public-key", str(public_key)]
    command += ["--cache-seconds", str(cache_seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        url = next((word.rstrip(":,") for word in line.split() if word.startswith("http")), None)
        if url is None:
            raise RuntimeError(f"the simulator did not start: {line!r}")
        address = url.removesuffix(API_PATH) + "/_simulator/clock"
        async with aiohttp.ClientSession() as http, http.get(address) as answer:
            told = await answer.json()
        offset = datetime.fromisoformat(told["now"]) - datetime.fromisoformat(told["wall"])
        yield url, offset.total_seconds()
    finally:
        process.terminate()
        await process.wait()


def _key(folder: Path) -> Path:
    """A private key in a file; the public one beside it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / "key.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
