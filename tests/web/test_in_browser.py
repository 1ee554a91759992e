"""The status page in a real browser: every candle is seen, every word is legible, on a phone and at night too."""

from datetime import timedelta
from urllib.parse import urlencode

import asyncpg
import pytest

from kalshi_ingest.follow.state import PeriodicJobState
from kalshi_ingest.web.app import serving
from tests.support.backfills import fetch
from tests.support.browser import DESKTOP, LOOKS, browser, needs_browser
from tests.support.patience import until
from tests.support.postgres import execute
from tests.web.support import NOW, fill, following

pytestmark = needs_browser

# Three to one is what WCAG 2.2 asks of a drawing (1.4.11).
_CONTRAST = """
const linear = each => each / 255 <= 0.04045 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4;
const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue) + 0.05;
const paper = light(getComputedStyle(document.querySelector('.panel')).backgroundColor.match(/\\d+/g).map(Number));
const seen = (x, y) => { const ink = light(pixel(x, y)); return Math.max(ink / paper, paper / ink) >= 3; };
const bodies = [...document.querySelectorAll('.chart .body')].map(each => each.getBoundingClientRect());
"""
_VISIBLE = f"""{_CONTRAST}
return bodies.filter(each => {{
  for (let x = Math.floor(each.left); x < each.right; x++)
    for (let y = Math.floor(each.top); y < each.bottom; y++)
      if (seen(x, y)) return true;
  return false;
}}).length;
"""
_APART = f"""{_CONTRAST}
const row = Math.floor((bodies[0].top + bodies[0].bottom) / 2);
let runs = 0;
for (let x = Math.floor(bodies[0].left) - 1; x < Math.ceil(bodies.at(-1).right); x++)
  runs += !seen(x, row) && seen(x + 1, row);
return runs;
"""
_TIMES = """
[...document.querySelectorAll('.chart .time')].filter(each => each.checkVisibility({visibilityProperty: true})).map(
  each => each.textContent)
"""
_FLAT = """
insert into candles
select $1, 1, start, start + interval '1 minute', 0.42, 0.42, 0.42, 0.42, 12.5, 0.42, 3
from generate_series(timestamptz '2025-07-20 10:00Z', '2025-07-20 14:59Z', '1 minute') as start
"""
_TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("period", [1, pytest.param(5, marks=pytest.mark.long)])
async def test_every_candle_is_seen(database_url: str, period: int) -> None:
    """Most have one price: they have neither height nor wick."""
    await fill(database_url)
    [(ticker, candles, flat)] = await fetch(
        database_url,
        "select ticker, count(*), count(*) filter (where low = high) from candles join markets using (ticker) "
        f"where period_minutes = {period} and status = 'open' group by 1 having "
        "min(period_start) < '2025-07-20 04:00Z' order by 2 desc, 1 limit 1",
    )
    assert flat > candles / 3
    query = urlencode({"ticker": ticker, "period": period})
    state = following()
    async with serving(state, database_url, "127.0.0.1", 0, now=lambda: NOW) as url, browser() as tab:
        await until(lambda: state.database_seen_at is not None)
        for look in LOOKS:
            await tab.show(f"{url}/?{query}", look)
            assert await tab.pixels(_VISIBLE) == candles, look
            assert any(":" not in name for name in await tab.evaluate(_TIMES)), "midnight is named by its date"


@pytest.mark.long
async def test_as_many_candles_as_are_drawn_at_most_can_be_told_apart(database_url: str) -> None:
    await fill(database_url)
    [(ticker,)] = await fetch(database_url, "select min(ticker) from markets where status = 'open'")
    connection = await asyncpg.connect(database_url)
    await connection.execute("delete from candles where ticker = $1", ticker)
    await connection.execute("delete from trades where ticker = $1", ticker)
    await connection.execute(_FLAT, ticker)
    await connection.close()
    state = following()
    async with serving(state, database_url, "127.0.0.1", 0, now=lambda: NOW) as url, browser() as tab:
        await until(lambda: state.database_seen_at is not None)
        for look in LOOKS:
            await tab.show(f"{url}/?ticker={ticker}&period=1", look)
            assert await tab.pixels(_VISIBLE) == 300, look
            if look.size == DESKTOP:
                assert await tab.pixels(_APART) == 300, look


async def test_no_fault_of_contrast_or_labels(database_url: str) -> None:
    """On a page with everything that it can show: a hole, failures, and that the service does not answer."""
    await fill(database_url)
    lost = "ticker like 'KXHIGHMIA-25JUL18-T%'"
    await execute(database_url, f"delete from markets where {lost}; delete from checkpoints where {lost}")
    state = following()
    chicago, miami = state.series["KXHIGHCHI"], state.series["KXHIGHMIA"]
    chicago.last_trade_at, chicago.fresh_at = NOW - timedelta(seconds=15), None
    miami.failed_markets = {f"KXHIGHMIA-25JUL20-B{n}.5": f"reason {n}" for n in range(7)}
    state.periodic_jobs = {"minutes": PeriodicJobState(None, None, "nobody answers")}
    async with serving(state, database_url, "127.0.0.1", 0, now=lambda: NOW) as url, browser() as tab:
        await until(lambda: state.database_seen_at is not None)
        for look in LOOKS:
            await tab.show(url, look)
            await tab.evaluate("document.body.classList.add('away')")
            assert await tab.faults() == [], look
            assert await tab.evaluate(_TOO_WIDE) <= 0, look


@pytest.mark.long
async def test_no_fault_without_a_database() -> None:
    async with serving(following(), "postgresql://nobody@127.0.0.1:1/nothing", "127.0.0.1", 0) as url, browser() as tab:
        for look in LOOKS:
            await tab.show(url, look)
            assert await tab.faults() == [], look
            assert await tab.evaluate(_TOO_WIDE) <= 0, look
