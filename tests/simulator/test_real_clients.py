"""Clients that nobody here wrote read everything that the simulator serves; each checks it against its own schema.

They are a development extra of their own: `pip install -e '.[clients]'`. Two of them need a newer Python than this
program does.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kalshi_simulator import Limits, Simulator, SyntheticWorld
from kalshi_simulator.routes import ROUTES
from tests.simulator.support import small_world
from tests.support.patience import COMES

CITY = "KXHIGHCHI"
NOW = datetime(2026, 11, 14, 20, tzinfo=UTC)
HOURS = {"start_ts": int(NOW.timestamp()) - 86_400, "end_ts": int(NOW.timestamp())}

Read = Callable[[], Any]


class Stage:
    """A simulated exchange that checks signatures, a key for it, and markets of every age."""

    def __init__(self, simulator: Simulator, world: SyntheticWorld, key: Path) -> None:
        self.simulator, self.url, self.world, self.key = simulator, simulator.url, world, key
        markets = [world.market(ticker) for ticker in world.market_tickers()]
        traded = sorted(markets, key=lambda row: -world.trade_count(row["ticker"]))
        of_the_city = [row for row in traded if row["event_ticker"].startswith(CITY)]
        self.open = next(row["ticker"] for row in of_the_city if row["status"] == "active")
        old = [row for row in of_the_city if row.get("settlement_ts", "9") < f"{world.cutoff:%Y-%m-%d}"]
        self.archived = old[0]["ticker"]
        self.event, self.archived_event = (ticker.rpartition("-")[0] for ticker in (self.open, self.archived))
        opened = datetime.fromisoformat(old[0]["open_time"]).timestamp()
        self.old_hours = {"start_ts": int(opened), "end_ts": int(opened) + 86_400}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    private = generate_private_key(65537, 2048)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".public").write_bytes(public)
    return path


@pytest.fixture
async def stage(key: Path) -> AsyncIterator[Stage]:
    """Without the oddities: one of them is an event that breaks the exchange's own schema."""
    world = small_world(
        start=date(2026, 11, 1),
        end=date(2026, 11, 16),
        now=NOW,
        cutoff=datetime(2026, 11, 8, tzinfo=UTC),
        cities=(CITY, "KXHIGHLAX"),
        oddities=False,
    )
    limits = Limits(public_key_pem=key.with_suffix(".public").read_bytes())
    async with Simulator(world, limits) as simulator:
        yield Stage(simulator, world, key)


def library(name: str, distribution: str, python: str) -> Any:
    """The client's module, or a skip that says what is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        pytest.skip(f"{distribution} is absent: pip install -e '.[clients]' on Python {python} or newer")


async def check(stage: Stage, reads: Mapping[str, Read], unread: frozenset[str]) -> dict[str, Any]:
    """Ask everything; each answer has to be readable, and every route has to be asked but those that are named."""
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, read in reads.items():
        try:
            found[name] = await asyncio.to_thread(read)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"[:600]
    assert not failed
    routes = {name for name, _, _ in ROUTES}
    assert routes - set(stage.simulator.stats.by_route) == unread
    assert set(stage.simulator.stats.by_status) == {200}
    return found


def paged(read: Callable[..., Any], name: str, **query: Any) -> list[Any]:
    """Every row of a list of the official client."""
    rows: list[Any] = []
    cursor = None
    while True:
        page = read(**query, cursor=cursor)
        rows += getattr(page, name)
        cursor = page.cursor
        if not cursor:
            return rows


async def test_the_official_client(stage: Stage) -> None:
    kalshi = library("kalshi_python_sync", "kalshi-python-sync", "3.13")
    config = kalshi.Configuration(host=stage.url)
    config.api_key_id, config.private_key_pem = "key", stage.key.read_text()
    client = kalshi.KalshiClient(config)
    market, events, old = client._market_api, client._events_api, client._historical_api
    account, exchange = client._account_api, client._exchange_api
    reads: dict[str, Read] = {
        "series list": lambda: market.get_series_list(category="Climate and Weather").series,
        "series": lambda: market.get_series(CITY),
        "markets": lambda: paged(market.get_markets, "markets", limit=100),
        "some markets": lambda: market.get_markets(tickers=f"{stage.open},NONE").markets,
        "market": lambda: market.get_market(stage.open),
        "trades": lambda: paged(market.get_trades, "trades", ticker=stage.open, limit=10),
        "all trades": lambda: market.get_trades(limit=1000).trades,
        "batch": lambda: market.batch_get_market_candlesticks(stage.open, period_interval=60, **HOURS),
        "events": lambda: paged(events.get_events, "events", limit=7),
        "nested events": lambda: paged(events.get_events, "events", with_nested_markets=True, limit=7),
        "event": lambda: events.get_event(stage.event).markets,
        "nested event": lambda: events.get_event(stage.event, with_nested_markets=True).event.markets,
        "archived event": lambda: events.get_event(stage.archived_event, with_nested_markets=True),
        "cutoff": old.get_historical_cutoff,
        "old markets": lambda: paged(old.get_historical_markets, "markets", limit=50),
        "old market": lambda: old.get_historical_market(stage.archived),
        "old trades": lambda: paged(old.get_trades_historical, "trades", ticker=stage.archived, limit=10),
        "status": exchange.get_exchange_status,
        "schedule": exchange.get_exchange_schedule,
        "limits": account.get_account_api_limits,
        "costs": account.get_account_endpoint_costs,
    }
    for status in ("unopened", "open", "closed", "settled"):
        reads[status] = partial(paged, market.get_markets, "markets", status=status, limit=100)
    for minutes in (1, 60, 1440):
        reads[f"candles {minutes}"] = partial(
            market.get_market_candlesticks,
            CITY,
            stage.open,
            period_interval=minutes,
            include_latest_before_start=True,
            **HOURS,
        )
        reads[f"old candles {minutes}"] = partial(
            old.get_market_candlesticks_historical, stage.archived, period_interval=minutes, **stage.old_hours
        )
    try:
        found = await check(stage, reads, frozenset())
    finally:
        client.rest_client.pool_manager.clear()
    assert len(found["event"]) == len(found["nested event"]) == 6
    whole(stage, *(found[name] for name in ("markets", "old markets", "trades", "old trades")))


async def test_kalshi_sdk(stage: Stage) -> None:
    kalshi = library("kalshi", "kalshi-sdk", "3.12")
    config = kalshi.KalshiConfig(base_url=stage.url, timeout=COMES)
    client = kalshi.KalshiClient(key_id="key", private_key_path=stage.key, config=config)
    markets, old = client.markets, client.historical
    reads: dict[str, Read] = {
        "series list": lambda: client.series.list(category="Climate and Weather"),
        "series": lambda: client.series.get(CITY),
        "markets": lambda: list(markets.list_all(limit=100)),
        "market": lambda: markets.get(stage.open),
        "trades": lambda: list(markets.list_all_trades(ticker=stage.open, limit=10)),
        "batch": lambda: markets.bulk_candlesticks(market_tickers=[stage.open], period_interval=60, **HOURS),
        "events": lambda: list(client.events.list_all(limit=7)),
        "nested events": lambda: list(client.events.list_all(with_nested_markets=True, limit=7)),
        "event": lambda: client.events.get(stage.event),
        "nested event": lambda: client.events.get(stage.event, with_nested_markets=True),
        "event alone": lambda: client.events.get(stage.event, exclude_markets=True),
        "archived event": lambda: client.events.get(stage.archived_event, with_nested_markets=True),
        "cutoff": old.cutoff,
        "old markets": lambda: list(old.markets_all(limit=50)),
        "old market": lambda: old.market(stage.archived),
        "old trades": lambda: list(old.trades_all(ticker=stage.archived, limit=10)),
        "status": client.exchange.status,
        "schedule": client.exchange.schedule,
        "limits": client.account.limits,
        "costs": client.account.endpoint_costs,
    }
    for minutes in (1, 60, 1440):
        reads[f"candles {minutes}"] = partial(
            markets.candlesticks, CITY, stage.open, period_interval=minutes, include_latest_before_start=True, **HOURS
        )
        reads[f"old candles {minutes}"] = partial(
            old.candlesticks, stage.archived, period_interval=minutes, **stage.old_hours
        )
    with client:
        found = await check(stage, reads, frozenset())
    whole(stage, *(found[name] for name in ("markets", "old markets", "trades", "old trades")))


async def test_pykalshi(stage: Stage) -> None:
    """It sends Python's own `True`."""
    kalshi = library("pykalshi", "pykalshi", "3.9")
    client = kalshi.KalshiClient(api_key_id="key", private_key_path=str(stage.key), api_base=stage.url, timeout=COMES)
    old, every = client.history, {"fetch_all": True}

    def candles(period: Any) -> Any:
        return client.get_market(stage.open).get_candlesticks(period=period, **HOURS)

    reads: dict[str, Read] = {
        "series list": lambda: client.get_all_series(category="Climate and Weather"),
        "series": lambda: client.get_series(CITY),
        "markets": lambda: client.get_markets(limit=100, **every),
        "market": lambda: client.get_market(stage.open),
        "trades": lambda: client.get_trades(ticker=stage.open, limit=10, **every),
        "batch": lambda: client.get_candlesticks_batch([stage.open], **HOURS),
        "events": lambda: client.get_events(limit=7, **every),
        "nested events": lambda: client.get_events(limit=7, with_nested_markets=True, **every),
        "event": lambda: client.get_event(stage.event),
        "nested event": lambda: client.get_event(stage.event, with_nested_markets=True),
        "archived event": lambda: client.get_event(stage.archived_event, with_nested_markets=True),
        "cutoff": old.get_cutoff,
        "old markets": lambda: old.get_markets(limit=50, **every),
        "old market": lambda: old.get_market(stage.archived),
        "status": client.exchange.get_status,
        "schedule": client.exchange.get_schedule,
        "limits": client.api_keys.get_limits,
    }
    for period in kalshi.CandlestickPeriod:
        reads[f"candles {period}"] = partial(candles, period)
        reads[f"old candles {period}"] = partial(old.get_candlesticks, stage.archived, period=period, **stage.old_hours)
    with client:
        found = await check(stage, reads, frozenset({"historical_trades", "endpoint_costs"}))
    whole(stage, *(found[name] for name in ("markets", "old markets", "trades")))


def whole(
    stage: Stage, live: list[Any], old: list[Any], trades: list[Any], old_trades: list[Any] | None = None
) -> None:
    """Nothing is lost on the way."""
    assert {row.ticker for row in live} | {row.ticker for row in old} == set(stage.world.market_tickers())
    assert len(trades) == stage.world.trade_count(stage.open) > 20
    if old_trades is not None:
        assert len(old_trades) == stage.world.trade_count(stage.archived) > 20
