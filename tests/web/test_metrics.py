"""The metrics: every promised name, the right numbers, in both forms that Prometheus reads."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from uuid import uuid4

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.exchange.client import Tally
from kalshi_ingest.exchange.websocket import ChannelStats
from kalshi_ingest.follow.state import LAG_BOUNDS, FollowState, PeriodicJobState, Phase
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.ingest.progress import SeriesStats
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.writer import Writer
from kalshi_ingest.web.app import serving
from tests.web.support import CHICAGO, MIAMI, following

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"
PROMISED = {
    "build_info": {"version"},
    "ready": set(),
    "phase": {"phase"},
    "data_age_seconds": {"city"},
    "listing_age_seconds": {"city"},
    "last_trade_timestamp_seconds": {"city"},
    "trade_lag_seconds_bucket": {"city", "le"},
    "trade_lag_seconds_count": {"city"},
    "trade_lag_seconds_sum": {"city"},
    "open_markets": {"city"},
    "unsettled_markets": {"city"},
    "backlog_markets": {"city"},
    "failing": {"city"},
    "rows_total": {"city", "table"},
    "markets_proved_total": {"city", "verdict"},
    "requests_total": set(),
    "retries_total": set(),
    "rate_limited_total": set(),
    "city_requests_total": {"city"},
    "request_budget_per_second": set(),
    "request_pace_per_second": set(),
    "volumes_doubted": set(),
    "cache_seconds": set(),
    "stale_after_seconds": set(),
    "missing_contracts": {"city"},
    "accepted_deficit_contracts": {"city"},
    "writer_queue": set(),
    "database_answer_age_seconds": set(),
    "losses_total": {"what"},
    "faults_total": set(),
    "channel_connected": set(),
    "channel_gaps_total": set(),
    "channel_messages_total": set(),
    "periodic_job_success_age_seconds": {"periodic_job"},
}
"""Names that dashboards and alarms rely on, without `kalshi_ingest_`, and their labels."""
OLD = {
    "freshness_seconds": "data_age_seconds",
    "listed_seconds": "listing_age_seconds",
    "database_seconds": "database_answer_age_seconds",
    "errand_success_seconds": "periodic_job_success_age_seconds",
}
"""Names of 0.1 → the names that replace them."""
OLD_LABELS = {"freshness_seconds": {"city"}, "listed_seconds": {"city"}, "errand_success_seconds": {"errand"}}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def busy() -> FollowState:
    """A state of which everything is known, on a clock that stands at 1000."""
    state = following(CHICAGO, MIAMI)
    state.clock = lambda: 1000.0
    chicago, miami = state.series.values()
    chicago.fresh_at, chicago.listed_at, miami.fresh_at, miami.listed_at = 998.5, 999.0, 999.5, 990.0
    chicago.last_trade_at = miami.last_trade_at = datetime(2025, 7, 20, 12, tzinfo=UTC)
    chicago.open_markets, chicago.unsettled_markets, chicago.backlog = 12, 18, 3
    chicago.stats = SeriesStats(Tally(requests=77, retries=5), 500, 90, 40, Counter(exact=10, short=2))
    chicago.failed_markets = {"KXHIGHCHI-25JUL20-B81.5": "why"}
    chicago.lag.add([0.05, 0.2, 2.5, 5000.0])
    state.traffic.sent = 1234
    state.pacer = Pacer(5, traffic=state.traffic)
    state.pacer.slow_down(asyncio.get_running_loop().time())
    state.writer = Writer(Database(NOBODY), uuid4, utc_now, queued=9)
    for _ in range(4):
        await state.writer.finish()
    state.losses = Counter(database=2)
    state.database_seen_at = 999.0
    state.channel = ChannelStats(connected=True, gaps=2, messages=321)
    state.periodic_jobs = {
        "settlement": PeriodicJobState(950.0, 900.0),
        "minutes": PeriodicJobState(990.0, None, "why"),
    }
    return state


async def _asked(state: FollowState, session: aiohttp.ClientSession, accept: str = "*/*") -> tuple[str, str]:
    headers = {"Accept": accept}
    async with serving(state, NOBODY, "127.0.0.1", 0) as url, session.get(f"{url}/metrics", headers=headers) as answer:
        assert answer.status == 200
        return answer.headers["Content-Type"], await answer.text()


def _samples(families: list[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


async def test_every_promised_name_is_there(session: aiohttp.ClientSession) -> None:
    kind, body = await _asked(await busy(), session)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(body))
    assert all(family.documentation for family in families)
    ours = [each for family in families for each in family.samples if each.name.startswith("kalshi_ingest_")]
    assert {each.name.removeprefix("kalshi_ingest_"): set(each.labels) for each in ours} == PROMISED | {
        name: OLD_LABELS.get(name, set()) for name in OLD
    }
    assert "process_resident_memory_bytes" in {each.name for family in families for each in family.samples}


async def test_the_numbers_are_the_states(session: aiohttp.ClientSession) -> None:
    _, body = await _asked(await busy(), session)
    found = _samples(list(text_string_to_metric_families(body)))

    def value(name: str, **labels: str) -> float:
        return found[f"kalshi_ingest_{name}", frozenset(labels.items())]

    assert value("ready") == 1
    assert [value("phase", phase=each.value) for each in Phase] == [each is Phase.FOLLOWING for each in Phase]
    assert value("data_age_seconds", city="chicago") == 1.5
    assert value("listing_age_seconds", city="miami") == 10
    assert value("last_trade_timestamp_seconds", city="miami") == 1753012800
    assert value("open_markets", city="chicago") == 12
    assert value("unsettled_markets", city="chicago") == 18
    assert value("backlog_markets", city="chicago") == 3
    assert value("failing", city="chicago") == 1
    assert value("failing", city="miami") == 0
    rows = [value("rows_total", city="chicago", table=table) for table in ("trades", "candles_1m", "candles_5m")]
    assert rows == [500, 90, 40]
    verdicts = ("exact", "short", "over", "unknown")
    assert [value("markets_proved_total", city="chicago", verdict=each) for each in verdicts] == [10, 2, 0, 0]
    assert [value("losses_total", what=each) for each in ("exchange", "database")] == [0, 2]
    assert [value(f"{each}_total") for each in ("requests", "retries", "rate_limited")] == [1234, 5, 1]
    assert value("city_requests_total", city="chicago") == 77
    assert (value("request_budget_per_second"), value("request_pace_per_second")) == (5, 2.5)
    assert (value("writer_queue"), value("database_answer_age_seconds")) == (4, 1)
    assert (value("channel_connected"), value("channel_gaps_total"), value("channel_messages_total")) == (1, 2, 321)
    assert value("periodic_job_success_age_seconds", periodic_job="settlement") == 100


async def test_an_old_name_gives_the_values_of_the_new_one(session: aiohttp.ClientSession) -> None:
    _, body = await _asked(await busy(), session)
    families = {each.name.removeprefix("kalshi_ingest_"): each for each in text_string_to_metric_families(body)}
    for old, new in OLD.items():
        assert families[old].documentation == f"Deprecated, use kalshi_ingest_{new}."
        assert families[old].type == families[new].type == "gauge"
        values = [(sorted(each.labels.values()), each.value) for each in families[new].samples]
        assert [(sorted(each.labels.values()), each.value) for each in families[old].samples] == values != []


async def test_lags_are_counted_upwards(session: aiohttp.ClientSession) -> None:
    _, body = await _asked(await busy(), session)
    found = _samples(list(text_string_to_metric_families(body)))
    counts = [
        found["kalshi_ingest_trade_lag_seconds_bucket", frozenset({("city", "chicago"), ("le", bound)})]
        for bound in [*(str(bound) for bound in LAG_BOUNDS), "+Inf"]
    ]
    assert counts == [1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4]
    assert found["kalshi_ingest_trade_lag_seconds_count", frozenset({("city", "chicago")})] == 4
    assert found["kalshi_ingest_trade_lag_seconds_sum", frozenset({("city", "chicago")})] == 5002.75


async def test_what_is_not_known_is_absent_and_never_zero(session: aiohttp.ClientSession) -> None:
    state = following(CHICAGO)
    state.series["KXHIGHCHI"].fresh_at = None
    _, body = await _asked(state, session)
    names = {each.name for family in text_string_to_metric_families(body) for each in family.samples}
    absent = {*OLD, *OLD.values(), "last_trade_timestamp_seconds"}
    assert names.isdisjoint({f"kalshi_ingest_{name}" for name in absent})
    assert not any(name.startswith("kalshi_ingest_channel") for name in names)


async def test_openmetrics_when_asked_for(session: aiohttp.ClientSession) -> None:
    kind, body = await _asked(await busy(), session, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    parse: Callable[[str], Iterable[Metric]] = openmetrics.text_string_to_metric_families
    names = {family.name for family in parse(body)}
    assert "kalshi_ingest_rows" in names


async def test_a_senseless_wish_gets_the_plain_form(session: aiohttp.ClientSession) -> None:
    kind, _ = await _asked(await busy(), session, "application/openmetrics-text; version=new")
    assert kind.startswith("text/plain")
