"""The endpoints: each answer checked against its request, lists to their end, faults of a whole simulated exchange."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest

from kalshi_ingest.domain.model import Cutoff, Tier, Trade
from kalshi_ingest.errors import BadPayload, IngestError, Rejected, ServerFailed
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Tally
from kalshi_ingest.exchange.parse_trades import TradeParser
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.http.server_clock import ServerClock
from kalshi_simulator import Faults, Limits, Simulator, SyntheticWorld, WorldConfig
from tests.exchange.serving import GRACE, Reply, Script, asking, serving
from tests.support import virtual_clock
from tests.support.units import unit_of

TICKER = "KXHIGHCHI-26SEP04-B80.5"
TRADE = {
    "count_fp": "3.12",
    "created_time": "2026-09-04T20:51:07.84776Z",
    "is_block_trade": False,
    "no_price_dollars": "0.5900",
    "taker_outcome_side": "yes",
    "ticker": TICKER,
    "trade_id": "0721d6db-b301-9900-70df-de2c1bc14463",
    "yes_price_dollars": "0.4100",
}


UNIT = unit_of(TICKER)


def json(body: object, **headers: str) -> Reply:
    return Reply(body=orjson.dumps(body), headers={"Content-Type": "application/json"} | headers)


def talk(script: Script, ask: Callable[[Api], Awaitable[Any]]) -> Any:
    async def scenario() -> Any:
        async with serving(script.answer) as url, asking(url) as client:
            return await ask(Api(client))

    return virtual_clock.run(scenario(), grace=GRACE)


async def all_pages(pages: Any) -> list[Any]:
    return [row async for page in pages for row in page]


@pytest.mark.parametrize("tier", Tier)
def test_a_page_of_trades_is_asked_for_and_read(tier: Tier) -> None:
    path = {Tier.LIVE: "markets__trades", Tier.HISTORICAL: "historical__trades"}[tier]
    script = Script(**{path: [json({"trades": [TRADE], "cursor": "next"}), json({"trades": []})]})

    async def ask(api: Api) -> None:
        tally = Tally()
        page = await api.trades(UNIT, tier, None, tally)
        assert ([trade.size for trade in page.trades], page.cursor) == ([312], "next")
        last = await api.trades(UNIT, tier, page.cursor, tally)
        assert (last.trades, last.cursor) == ([], None)
        assert tally.requests == 2

    talk(script, ask)
    assert [request.query for request in script.seen] == [
        {"ticker": TICKER, "limit": "1000"},
        {"ticker": TICKER, "limit": "1000", "cursor": "next"},
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "created", ["0001-01-01T00:00:00Z", "2025-09-04T12:00:00Z", "2027-09-04T12:00:00Z", "9999-12-31T23:59:59.999999Z"]
)
def test_a_trade_outside_its_markets_life_is_refused_by_name(created: str, place: int) -> None:
    good = [TRADE, TRADE | {"trade_id": "0721d6db-b301-9900-70df-de2c1bc14464"}]
    wrong = TRADE | {"trade_id": "ffffffff-b301-9900-70df-de2c1bc14465", "created_time": created}
    script = Script(markets__trades=[json({"trades": [*good[:place], wrong, *good[place:]]})])
    with pytest.raises(BadPayload, match=f"{TICKER}: trade ffffffffb301.*created_time: .*{created[:4]}.*impossible"):
        talk(script, lambda api: api.trades(UNIT, Tier.LIVE, None, Tally()))
    assert len(script.seen) == 1


def test_a_trade_of_tomorrow_is_refused_by_the_exchanges_own_date() -> None:
    """The local clock is a year ahead of the exchange: what the exchange's `Date` says decides."""
    body = orjson.dumps({"trades": [TRADE]})
    for day, refused in ("2026-09-02", True), ("2026-09-04", False):
        date_header = f"{datetime.fromisoformat(day):%a, %d %b %Y %H:%M:%S} GMT"
        script = Script(markets__trades=[Reply(body=body, headers={"Date": date_header})])
        if refused:
            with pytest.raises(BadPayload, match=r"created_time.*impossible"):
                talk(script, lambda api: api.trades(UNIT, Tier.LIVE, None, Tally()))
        else:
            assert len(talk(script, lambda api: api.trades(UNIT, Tier.LIVE, None, Tally())).trades) == 1


@pytest.mark.parametrize("end", [{"cursor": ""}, {"cursor": None}, {}])
def test_the_end_has_three_spellings(end: dict[str, Any]) -> None:
    script = Script(markets__trades=[json({"trades": [TRADE]} | end)])
    assert talk(script, lambda api: api.trades(UNIT, Tier.LIVE, None, Tally())).cursor is None


def empty(*cursors: str) -> list[Reply]:
    return [json({"trades": [], "cursor": cursor}) for cursor in cursors]


def test_an_empty_page_that_promises_more_is_followed() -> None:
    script = Script(markets__trades=[*empty("one", "two"), json({"trades": [TRADE], "cursor": "three"})])
    page = talk(script, lambda api: api.trades(UNIT, Tier.LIVE, "here", Tally(), 1_700_000_000_000_000))
    assert (len(page.trades), page.cursor) == (1, "three")
    queries = [request.query for request in script.seen]
    assert [query["cursor"] for query in queries] == ["here", "one", "two"]
    assert all(query["ticker"] == TICKER and query["min_ts"] == "1700000000" for query in queries)


@pytest.mark.parametrize(
    ("cursors", "failure", "words"),
    [
        (["one", "here", "two"], BadPayload, "a loop"),
        (["one", "two", "one"], BadPayload, "a loop"),
        ([f"page {number}" for number in range(101)], ServerFailed, "100 empty pages in a row"),
    ],
)
def test_empty_pages_without_end_are_noticed(cursors: list[str], failure: type[IngestError], words: str) -> None:
    script = Script(markets__trades=empty(*cursors))
    with pytest.raises(failure, match=f"{TICKER}: .*{words}"):
        talk(script, lambda api: api.trades(UNIT, Tier.LIVE, "here", Tally()))
    assert len(script.seen) <= 100


def test_an_empty_page_says_nothing_about_the_markets_behind_it() -> None:
    pages = [json({"markets": [], "cursor": cursor}) for cursor in ("one", "two")]
    row = {"ticker": TICKER, "status": "active", "volume_fp": "3.00"}
    script = Script(markets=[*pages, json({"markets": [row], "cursor": ""})])
    found, _ = talk(script, lambda api: api.market_snapshots([TICKER], Tally()))
    assert list(found) == [TICKER]


def test_a_page_whose_cursor_is_its_own_is_a_loop() -> None:
    script = Script(markets__trades=[json({"trades": [TRADE], "cursor": "here"})])
    with pytest.raises(BadPayload, match=f"{TICKER}.*loop"):
        talk(script, lambda api: api.trades(UNIT, Tier.LIVE, "here", Tally()))
    assert len(script.seen) == 1


@pytest.mark.parametrize("body", [None, [], "x", 5, {}, {"trades": None}, {"trades": {}}, {"cursor": "x"}])
def test_an_answer_without_its_list(body: Any) -> None:
    with pytest.raises(BadPayload, match=r"/markets/trades.*no list trades"):
        talk(Script(markets__trades=[json(body)]), lambda api: api.trades(UNIT, Tier.LIVE, None, Tally()))
    with pytest.raises(BadPayload, match=r"/events.*no list events"):
        talk(Script(events=[json(body)]), lambda api: all_pages(api.events("KXHIGHCHI", Tally())))


@pytest.mark.parametrize("levels", [10, 500, 1000, 5000])
def test_an_answer_nested_deeper_than_python_can_follow(levels: int) -> None:
    body = b'{"trades":[' + b"[" * levels + b"]" * levels + b"]}"
    script = Script(markets__trades=[Reply(body=body)], exchange__status=[json({})])
    with pytest.raises((BadPayload, ServerFailed), match=r"/markets/trades|not an object"):
        talk(script, lambda api: api.trades(UNIT, Tier.LIVE, None, Tally()))


@pytest.mark.parametrize("cursor", [5, True, ["x"], {"a": 1}])
def test_a_cursor_that_is_no_text(cursor: Any) -> None:
    script = Script(markets__trades=[json({"trades": [TRADE], "cursor": cursor})])
    with pytest.raises(BadPayload, match="cursor"):
        talk(script, lambda api: api.trades(UNIT, Tier.LIVE, None, Tally()))


def test_a_list_is_read_to_its_end_with_every_filter_on_every_page() -> None:
    pages = [{"markets": [1, 2], "cursor": "a"}, {"markets": [], "cursor": "b"}, {"markets": [3], "cursor": ""}]
    script = Script(historical__markets=[json(page) for page in pages])
    assert talk(script, lambda api: all_pages(api.markets("KXHIGHCHI", Tier.HISTORICAL, Tally()))) == [1, 2, 3]
    assert [request.query for request in script.seen] == [
        {"series_ticker": "KXHIGHCHI", "limit": "100"},
        {"series_ticker": "KXHIGHCHI", "limit": "500", "cursor": "a"},
        {"series_ticker": "KXHIGHCHI", "limit": "500", "cursor": "b"},
    ]


@pytest.mark.parametrize("cursors", [["a"], ["a", "b", "a"], ["a", "b", "b"]])
def test_a_list_that_runs_in_circles_is_noticed(cursors: list[str]) -> None:
    script = Script(events=[json({"events": [1], "cursor": cursor}) for cursor in cursors])
    with pytest.raises(BadPayload, match=r"/events.*loop"):
        talk(script, lambda api: all_pages(api.events("KXHIGHCHI", Tally())))
    assert len(script.seen) <= 4


CUTOFF = {"market_settled_ts": "2026-07-04T00:00:00Z", "trades_created_ts": "2026-07-05T00:00:00Z"}


def test_the_cutoff() -> None:
    expected = Cutoff(datetime(2026, 7, 4, tzinfo=UTC), datetime(2026, 7, 5, tzinfo=UTC))
    assert talk(Script(historical__cutoff=[json(CUTOFF)]), lambda api: api.cutoff()) == expected


def test_an_events_series() -> None:
    name = "KXHIGHCHI-26JUL04"
    event = {"event_ticker": name, "series_ticker": "KXHIGHCHI"}
    script = Script(**{f"events__{name}": [json({"event": event, "markets": []})]})
    assert talk(script, lambda api: api.event_series(name, Tally())) == "KXHIGHCHI"
    alive = Script(exchange__status=[json({"exchange_active": True})])
    assert talk(alive, lambda api: api.event_series(name, Tally())) is None, "404: the exchange does not know it"
    wrong: list[Any] = [
        {"event": {"event_ticker": name}},
        {"event": event | {"series_ticker": None}},
        {"event": event | {"series_ticker": 5}},
        {"event": event | {"event_ticker": "KXHIGHCHI-26JUL05"}},
        {"event": []},
        [],
    ]
    for body in wrong:
        with pytest.raises(BadPayload, match=f"GET /events/{name}"):
            talk(Script(**{f"events__{name}": [json(body)]}), lambda api: api.event_series(name, Tally()))
    refusing = Script(**{f"events__{name}": [Reply(403)]}, exchange__status=[json({"exchange_active": True})])
    with pytest.raises(Rejected):
        talk(refusing, lambda api: api.event_series(name, Tally()))


def test_an_unknown_series() -> None:
    with pytest.raises(Rejected) as refused:
        talk(Script(exchange__status=[json({"exchange_active": True})]), lambda api: api.series("KXHIGHXYZ", Tally()))
    assert (refused.value.status, refused.value.code) == (404, "not_found")


def test_the_accounts_budget() -> None:
    body = {"usage_tier": "basic", "read": {"refill_rate": 200, "bucket_capacity": 400}, "write": {"refill_rate": 1}}
    assert talk(Script(account__limits=[json(body)]), lambda api: api.account_requests_per_second()) == 20
    for wrong in (
        {},
        [],
        {"read": 200},
        {"read": {}},
        *({"read": {"refill_rate": r}} for r in (0, -1, "200", True, 5e-324, 1e308)),
    ):
        with pytest.raises(BadPayload, match=r"/account/limits: read.refill_rate"):
            talk(Script(account__limits=[json(wrong)]), lambda api: api.account_requests_per_second())


def test_costs_are_learned_and_paced_by() -> None:
    listed = [
        {"method": "GET", "path": "/trade-api/v2/markets/trades", "cost": 50},
        {"method": "POST", "path": "/trade-api/v2/historical/trades", "cost": 500},
        {"method": "GET", "path": "/events", "cost": 0},
        "odd",
    ]
    costs = json({"default_cost": 20, "endpoint_costs": listed})
    page = [json({"trades": []})]
    script = Script(account__endpoint_costs=[costs], markets__trades=page, historical__trades=page)

    async def scenario() -> None:
        async with serving(script.answer) as url, asking(url, rate=20) as client:
            api = Api(client)
            await api.learn_costs()
            for tier in Tier:
                await asyncio.sleep(10)
                for _ in range(11):
                    await api.trades(UNIT, tier, None, Tally())

    virtual_clock.run(scenario(), grace=GRACE)
    for path, cost in (("/markets/trades", 5), ("/historical/trades", 2)):
        times = [request.at for request in script.seen_at(path)]
        assert times[-1] - times[0] == pytest.approx(10 * cost / 20, abs=0.16), path


def test_costs_of_routes_are_those_of_their_paths() -> None:
    """The exchange lists `/markets/{ticker}`, not each market."""
    listed = {
        "/trade-api/v2/historical/markets/{ticker}": 50,
        "/historical/markets/{ticker}/candlesticks": 100,
        "/{anything}/trades": 1,
        "/markets/{ticker}": 30,
        "/markets/trades": 40,
    }
    rows = [{"method": "GET", "path": path, "cost": cost} for path, cost in listed.items()]
    script = Script(account__endpoint_costs=[json({"default_cost": 20, "endpoint_costs": rows})])

    async def ask(api: Api) -> list[float]:
        await api.learn_costs()
        of = api._client.costs.of
        return [
            of(f"/historical/markets/{TICKER}"),
            of(f"/historical/markets/{TICKER}/candlesticks"),
            of("/historical/trades"),
            of(f"/markets/{TICKER}"),
            of("/markets/trades"),
            of("/markets"),
            of(f"/series/KXHIGHCHI/markets/{TICKER}/candlesticks"),
        ]

    assert talk(script, ask) == [5, 10, 0.1, 3, 4, 2, 2]


def test_the_pace_follows_the_cost_of_a_route() -> None:
    row = {"method": "GET", "path": "/trade-api/v2/series/{series_ticker}", "cost": 50}
    script = Script(account__endpoint_costs=[json({"default_cost": 10, "endpoint_costs": [row]})])

    async def scenario() -> None:
        async with serving(script.answer) as url, asking(url, rate=20) as client:
            api = Api(client)
            await api.learn_costs()
            for _ in range(11):
                with pytest.raises(Rejected):
                    await api.series("KXHIGHCHI", Tally())

    virtual_clock.run(scenario(), grace=GRACE)
    times = [request.at for request in script.seen_at("/series/KXHIGHCHI")]
    assert times[-1] - times[0] == pytest.approx(10 * 5 / 20, abs=0.16)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"default_cost": 0, "endpoint_costs": []},
        {"default_cost": "10", "endpoint_costs": []},
        {"default_cost": 1e308, "endpoint_costs": []},
        {"default_cost": 10},
        {"default_cost": 10, "endpoint_costs": [{"method": "GET", "path": "/events", "cost": -1}]},
        {"default_cost": 10, "endpoint_costs": [{"method": "GET", "path": "/events", "cost": "5"}]},
        {"default_cost": 10, "endpoint_costs": [{"method": "GET", "path": "/events"}]},
    ],
)
def test_costs_that_make_no_sense(body: Any) -> None:
    with pytest.raises(BadPayload, match="/account/endpoint_costs"):
        talk(Script(account__endpoint_costs=[json(body)]), lambda api: api.learn_costs())


# A whole simulated exchange.


def world() -> SyntheticWorld:
    days = WorldConfig(
        start=date(2026, 7, 1),
        end=date(2026, 7, 2),
        now=datetime(2026, 7, 20, tzinfo=UTC),
        cities=("KXHIGHCHI",),
        cutoff=datetime(2026, 7, 2, tzinfo=UTC),
        trades_per_market=400,
    )
    return SyntheticWorld(days)


async def every_trade(api: Api, ticker: str) -> set[Trade]:
    trades: set[Trade] = set()
    for tier in Tier:
        cursor: str | None = None
        while True:
            page = await api.trades(unit_of(ticker), tier, cursor, Tally())
            trades |= set(page.trades)
            cursor = page.cursor
            if cursor is None:
                break
    return trades


def test_a_faulty_exchange_costs_time_and_nothing_else() -> None:
    exchange = world()

    async def scenario() -> dict[str, set[Trade]]:
        faults = Faults(error_rate=0.3, seed=5, retry_after=3)
        simulator = Simulator(exchange, Limits(requests_per_second=20), faults, asyncio.get_running_loop().time)
        async with simulator, asking(simulator.url, RetryPolicy(attempts=12), rate=20) as client:
            api = Api(client)
            return {ticker: await every_trade(api, ticker) for ticker in exchange.market_tickers()}

    found = virtual_clock.run(scenario(), grace=GRACE)
    assert sum(map(len, found.values())) > 1000
    for ticker, trades in found.items():
        assert trades == set(TradeParser().page(exchange.trades(ticker), ticker))


WRONG: dict[str, tuple[type[IngestError], str]] = {
    "foreign_row": (BadPayload, "ticker"),
    "missing_field": (BadPayload, "yes_price_dollars"),
    "missing_field:count_fp": (BadPayload, "count_fp"),
    "price_out_of_range": (BadPayload, "yes_price_dollars"),
    "zero_count": (BadPayload, "count_fp"),
    "bad_sum": (BadPayload, "no_price_dollars"),
    "huge_body": (BadPayload, "larger than"),
    "truncated_json": (ServerFailed, "not JSON"),
    "html_200": (ServerFailed, "not JSON"),
    "forever_500": (ServerFailed, "internal server error"),
    "http_404": (Rejected, "not found"),
    "http_400": (Rejected, "invalid ticker"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_each_fault_of_one_market_is_that_markets_own(fault: str) -> None:
    exchange = world()
    kind, words = WRONG[fault]
    one, other = sorted(exchange.market_tickers(), key=exchange.trade_count)[-2:]

    async def scenario() -> IngestError:
        simulator = Simulator(exchange, faults=Faults(targeted={one: fault}))
        async with simulator, asking(simulator.url, RetryPolicy(attempts=3)) as client:
            api = Api(client)
            with pytest.raises(kind) as failed:
                await every_trade(api, one)
            assert len(await every_trade(api, other)) == exchange.trade_count(other)
            return failed.value

    error = virtual_clock.run(scenario(), grace=GRACE)
    assert words in str(error)


@pytest.mark.parametrize("kind", ["unknown_extra_field", "nine_digits", "empty_page_with_cursor"])
def test_what_is_new_or_odd_is_no_fault(kind: str) -> None:
    exchange = world()
    ticker = max(exchange.market_tickers(), key=exchange.trade_count)

    async def scenario() -> set[Trade]:
        simulator = Simulator(exchange, faults=Faults(targeted={ticker: kind}))
        async with simulator, asking(simulator.url) as client:
            found = await every_trade(Api(client), ticker)
            assert simulator.stats.faults[kind] >= 1
            return found

    found = virtual_clock.run(scenario(), grace=GRACE)
    assert found == set(TradeParser().page(exchange.trades(ticker), ticker))


def test_the_simulated_lists_and_account() -> None:
    exchange = world()

    async def scenario() -> tuple[int, int, str]:
        async with Simulator(exchange) as simulator, asking(simulator.url) as client:
            api = Api(client)
            markets = [await all_pages(api.markets("KXHIGHCHI", tier, Tally())) for tier in Tier]
            events = await all_pages(api.events("KXHIGHCHI", Tally()))
            series = await api.series("KXHIGHCHI", Tally())
            return sum(map(len, markets)), len(events), series.ticker

    markets, events, series = virtual_clock.run(scenario(), grace=GRACE)
    assert markets == len(exchange.entries("KXHIGHCHI"))
    assert events == len(exchange.events("KXHIGHCHI"))
    assert series == "KXHIGHCHI"


def test_only_trades_and_pulses_tell_how_long_a_cache_repeats_answers() -> None:
    """The bug: one `Age` of 50 minutes, on whatever path, held for as long as any cached answer came."""
    empty: dict[str, list[Any]] = {"markets": [], "trades": [], "events": []}
    script = Script(
        markets=[json(empty, Age="3"), json(empty, Age="3000"), json(empty, Age="3000"), json(empty, Age="4")],
        markets__trades=[json(empty, Age="5", **{"Cache-Control": "max-age=15"})],
        historical__trades=[json(empty, Age="3000")],
        events=[json(empty, Age="7")],
        historical__cutoff=[json(CUTOFF, Age="3000")],
    )
    now = 1000.0

    async def scenario() -> None:
        nonlocal now
        clock = ServerClock(steady_clock=lambda: now)
        async with serving(script.answer) as url, asking(url, clock=clock) as client:
            api, tally = Api(client), Tally()
            await api.cutoff()
            await api.trades(UNIT, Tier.HISTORICAL, None, tally)
            assert api.cache_seconds == tally.oldest == 0
            assert [page async for page in api.events("KXHIGHCHI", tally)] == [[]]
            assert tally.oldest == 8
            await api.market_snapshots([TICKER], tally)
            assert api.cache_seconds == 3
            assert [page async for page in api.markets("KXHIGHCHI", Tier.LIVE, tally)] == [[]]
            assert (api.cache_seconds, tally.oldest) == (3, 3001)
            await api.market_snapshots([TICKER], tally)
            assert api.cache_seconds == 3000
            for _ in range(9):
                now += 60
                await api.trades(UNIT, Tier.LIVE, None, tally)
                await api.market_snapshots([TICKER], tally)
                assert api.cache_seconds == 3000
            now += 60
            await api.trades(UNIT, Tier.LIVE, None, tally)
            await api.market_snapshots([TICKER], tally)
            assert api.cache_seconds == 15

    virtual_clock.run(scenario(), grace=GRACE)
