"""The status page as a person gets it: with a full, an empty and no database, and with hostile words in it."""

import re
from base64 import b64encode
from datetime import timedelta
from hashlib import sha256

import aiohttp
import asyncpg
import pytest

from kalshi_ingest.clocks import steady
from kalshi_ingest.follow.state import FollowState, PeriodicJobState, Phase
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.web.app import serving
from tests.support.backfills import fetch
from tests.support.pages import Page
from tests.support.patience import until
from tests.support.postgres import execute
from tests.web.support import MIAMI, NOW, SECRET, TODAY, fill, following, with_password

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"
_SIX_HOURS = """
insert into candles
select $1, 1, start, start + interval '1 minute', 0.4, 0.415, 0.39, 0.41, 12.5, 0.4, 3
from generate_series(timestamptz '2025-07-20 10:00Z', '2025-07-20 15:59Z', '1 minute') as start
"""
HOSTILE = "<script>alert('\"&')</script>"


async def _answer(state: FollowState, database_url: str, query: str = "", path: str = "/") -> tuple[str, str]:
    """The page's text and the content security policy it came with."""
    async with (
        serving(state, database_url, "127.0.0.1", 0, now=lambda: NOW) as url,
        aiohttp.ClientSession() as session,
    ):
        if "nobody@" not in database_url:
            await until(lambda: state.database_seen_at is not None)
        async with session.get(f"{url}{path}{query}") as answer:
            return await answer.text(), answer.headers["Content-Security-Policy"]


async def _page(state: FollowState, database_url: str, query: str = "") -> Page:
    return Page((await _answer(state, database_url, query))[0])


async def test_a_full_page(database_url: str) -> None:
    world = await fill(database_url)
    state = following()
    chicago = state.series["KXHIGHCHI"]
    chicago.last_trade_at, chicago.open_markets, chicago.unsettled_markets = NOW - timedelta(seconds=15), 12, 12
    page = await _page(state, database_url)
    assert "All 2 cities are up to date" in page.words
    assert "Following the exchange Sun 20 Jul 2025, 20:14:33 UTC" in page.words
    assert "Last trade 15 s ago 15:14:18 CDT" in page.words
    assert "Open markets 12 12 not settled" in page.words
    # Tomorrow, today, and yesterday with its result.
    assert len(page.all_of("details", "event")) == 6
    assert [attrs["id"] for attrs in page.all_of("details", "event") if "open" in attrs] == [
        "event-KXHIGHCHI-25JUL20",
        "event-KXHIGHMIA-25JUL20",
    ]
    assert len(page.all_of("tr", "s-yes")) == 2
    links = [attrs for attrs in page.all_of("a") if (attrs.get("id") or "").startswith("bin-")]
    assert len(links) == 36
    tickers = {f"bin-{ticker}" for ticker in world.market_tickers()}
    assert {attrs["id"] for attrs in links} < tickers


async def test_the_calendar_tells_each_date_in_words(database_url: str) -> None:
    await fill(database_url)
    lost = "ticker like 'KXHIGHMIA-25JUL18-T%'"
    await execute(database_url, f"delete from markets where {lost}; delete from checkpoints where {lost}")
    page = await _page(following(MIAMI), database_url)
    told = {attrs["aria-label"] for attrs in page.all_of("span", "day") if "aria-label" in attrs}
    assert "Wed 16 Jul: not among the dates asked for" in told
    assert "Thu 17 Jul: complete (6 markets, every one exact)" in told
    assert any((each or "").startswith("Fri 18 Jul: a hole (2 of 6 markets listed not held") for each in told)
    assert "Sun 20 Jul: still open (0 of 6 markets proved complete)" in told
    assert "Mon 21 Jul: still open (0 of 6 markets proved complete)" in told
    assert "Tue 22 Jul: not yet listed" in told
    assert "Fri 18 Jul: 2 of 6 markets listed not held" in page.words


async def test_the_chart_shows_the_busiest_open_market_unless_another_is_chosen(database_url: str) -> None:
    await fill(database_url)
    [busiest] = await fetch(
        database_url,
        "select ticker, (select count(*) from candles where candles.ticker = markets.ticker and period_minutes = 5) "
        "from markets join checkpoints using (ticker) where status = 'open' order by contracts_stored desc limit 1",
    )
    page = await _page(following(), database_url)
    assert busiest[0] in page.words
    assert f"{busiest[1]} candles of 5 minutes" in page.words
    assert len(page.all_of("rect", "field")) == busiest[1]
    [(chosen, candles)] = await fetch(
        database_url,
        "select ticker, count(*) from candles join markets using (ticker) "
        "where period_minutes = 1 and status = 'settled' group by 1 having count(*) > 2 order by 1 limit 1",
    )
    page = await _page(following(), database_url, f"?ticker={chosen}&period=1")
    assert f"{candles} candles of 1 minute" in page.words
    assert len(page.all_of("rect", "field")) == candles
    assert [attrs["value"] for attrs in page.all_of("option") if "selected" in attrs] == [chosen, "1"]


async def test_the_chart_draws_the_newest_300_and_names_the_zone(database_url: str) -> None:
    world = await fill(database_url)
    ticker = min(each for each in world.market_tickers() if each.startswith("KXHIGHMIA-25JUL20"))
    connection = await asyncpg.connect(database_url)
    await connection.execute("delete from candles where ticker = $1", ticker)
    await connection.execute(_SIX_HOURS, ticker)
    await connection.close()
    page = await _page(following(), database_url, f"?ticker={ticker}&period=1")
    assert len(page.all_of("rect", "field")) == 300
    assert "300 candles of 1 minute, the newest 300, Sun 20 Jul 07:00 to Sun 20 Jul 12:00 EDT" in page.words
    assert "Times in America/New_York (EDT)" in page.words
    assert "open 40 ¢, high 41.5 ¢, low 39 ¢, close 41 ¢, 12.5 contracts, 3 trades" in page.words


async def test_an_empty_database(database_url: str) -> None:
    page = await _page(following(), database_url)
    assert "No market of this series is held yet." in page.words
    assert "No market is held yet." in page.words


async def test_a_market_that_nobody_traded(database_url: str) -> None:
    await fill(database_url)
    await execute(database_url, "delete from trades; delete from candles")
    page = await _page(following(), database_url)
    assert "No trade yet" in page.words
    assert "No candle is held" in page.words


async def test_without_a_database_it_shows_what_the_service_knows() -> None:
    state = following()
    state.series["KXHIGHCHI"].backlog = 7
    state.phase, state.reason = Phase.DATABASE_AWAY, "the server is shutting down"
    page = await _page(state, NOBODY)
    assert "Not ready: the database does not answer" in page.words
    assert "Waiting for the database: the server is shutting down" in page.words
    assert "Nothing from the database: it does not answer." in page.words
    assert "Waiting 7 markets" in page.words
    assert "No chart without the database." in page.words


async def test_without_the_tables_it_says_what_to_do(empty_database_url: str) -> None:
    page = await _page(following(), empty_database_url)
    assert "its schema is missing or old: run `kalshi-ingest migrate`" in page.words


async def test_maintenance_is_no_reason_to_worry(database_url: str) -> None:
    state = following()
    state.phase = Phase.MAINTENANCE
    state.series["KXHIGHCHI"].fresh_at = steady() - 9000
    page = await _page(state, database_url)
    assert "Ready: the exchange is in maintenance, so nothing trades" in page.words
    assert "stale" not in page.words


async def test_stale_cities_and_failures_are_told_with_their_reasons(database_url: str) -> None:
    state = following()
    state.series["KXHIGHCHI"].fresh_at = steady() - 9000
    state.series["KXHIGHMIA"].failed_markets = {f"KXHIGHMIA-25JUL20-B{n}.5": f"reason {n}" for n in range(7)}
    state.periodic_jobs = {"minutes": PeriodicJobState(None, None, "nobody answers")}
    page = await _page(state, database_url)
    assert re.search(r"Not ready: chicago: 9\d{3} s old, more than 3600", page.words)
    assert "✕ stale" in page.words
    assert "7 things failing, tried again by itself: KXHIGHMIA-25JUL20-B0.5 reason 0" in page.words
    assert "and 2 more" in page.words
    assert "not fetched yet; failing: nobody answers" in page.words


async def test_every_word_from_outside_is_escaped(database_url: str) -> None:
    await fill(database_url)
    connection = await asyncpg.connect(database_url)
    await connection.execute("update markets set title = $1, strike_type = null where event_date = $2", HOSTILE, TODAY)
    await connection.execute("update markets set result = $1 where event_date = $2", HOSTILE, TODAY)
    await connection.close()
    state = following(Wanted("KXHIGHCHI", "chicago"), MIAMI, Wanted(HOSTILE, None))
    state.reason = HOSTILE
    state.series["KXHIGHCHI"].failed_markets = {HOSTILE: HOSTILE}
    state.periodic_jobs = {HOSTILE: PeriodicJobState(error=HOSTILE)}
    html, policy = await _answer(state, database_url)
    page = Page(html)
    assert len(page.all_of("script")) == 1
    assert page.words.count(HOSTILE) > 20
    script = html.partition("<script>")[2].partition("</script>")[0]
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy


@pytest.mark.parametrize(
    "asked", ["%3Cscript%3Ealert(1)%3C%2Fscript%3E", "KXHIGHCHI-25JUL20-B999", "a%00b", "%ff", "x" * 500]
)
async def test_a_market_that_is_not_held(database_url: str, asked: str) -> None:
    page = await _page(following(), database_url, f"?ticker={asked}&period=99999999999999999999")
    assert len(page.all_of("script")) == 1
    assert "held" in page.words
    assert "Nothing from the database" not in page.words


async def test_it_asks_nobody_else_for_anything(database_url: str) -> None:
    await fill(database_url)
    html, policy = await _answer(following(), database_url)
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"img", "iframe", "object", "embed"}
    addresses = [attrs[key] or "" for _, attrs in page.tags for key in ("href", "src", "action") if key in attrs]
    assert all(address.startswith(("?", "/", "#", "data:image/svg+xml,")) for address in addresses)
    assert not any(address.startswith("//") for address in addresses)
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "'unsafe-inline'" not in policy.partition("script-src")[2]


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz"])
@pytest.mark.parametrize("url", [None, f"postgresql://u:{SECRET}@127.0.0.1:1/d", f"postgresql://u:{SECRET}/x@y:z/d"])
async def test_no_secret_shows(database_url: str, url: str | None, path: str) -> None:
    async with (
        serving(following(), url or with_password(database_url), "127.0.0.1", 0) as place,
        aiohttp.ClientSession() as session,
        session.get(f"{place}{path}") as answer,
    ):
        assert SECRET not in await answer.text()


async def test_an_address_that_cannot_be_read_is_told_so() -> None:
    page = Page((await _answer(following(), NOBODY.replace("127.0.0.1:1", "a:b:c")))[0])
    assert "Nothing from the database: its address cannot be read." in page.words
