"""The page of `coverage` as a real browser draws it: every word is legible, on a phone and at night too."""

from datetime import date
from pathlib import Path

from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.web.coverage_page import as_page
from tests.coverage.holdings import CITIES, DAY, LOSER, NOW, SCOPE, clean
from tests.support.browser import LOOKS, browser, needs_browser

pytestmark = needs_browser

_NARROW = """
[...document.querySelectorAll('article')].filter(
  each => each.querySelector('.year').getBoundingClientRect().width < 0.8 * each.clientWidth).length
"""
_PLACES = """
[...document.querySelectorAll('article:first-of-type .dot[title]')].map(each => {
  const place = each.getBoundingClientRect();
  return [each.title.slice(4, 14), Math.round(place.left), Math.round(place.top), Math.round(place.width)];
})
"""


async def test_a_day_stands_in_the_row_of_its_month_below_its_number(tmp_path: Path) -> None:
    page = tmp_path / "coverage.html"
    page.write_text(as_page(judge(clean(start=date(2024, 12, 28), days=120).evidence(), Scope(NOW))))
    async with browser() as tab:
        for look in LOOKS:
            await tab.show(page.as_uri(), look)
            places = [(date.fromisoformat(day), *place) for day, *place in await tab.evaluate(_PLACES)]
            [year] = {day.year for day, *_ in places[4:]}
            later = [place for place in places if place[0].year == year]
            assert len({left for _, left, _, _ in later}) == 31
            assert len({(day.day, left) for day, left, _, _ in later}) == 31, "one column for each day"
            assert len({top for _, _, top, _ in later}) == len({(day.month, top) for day, _, top, _ in later}) == 4
            assert all(7 <= width <= 14 for *_, width in later)


async def test_no_fault_of_contrast_or_labels(tmp_path: Path) -> None:
    held = clean()
    held.row(LOSER, trades=9)
    held.add_weather(*CITIES)
    held.settlement("chicago", DAY, is_preliminary=True)
    page = tmp_path / "coverage.html"
    page.write_text(as_page(judge(held.evidence(), SCOPE)))
    async with browser() as tab:
        for look in LOOKS:
            await tab.show(page.as_uri(), look)
            assert await tab.evaluate(_NARROW) == 0, "a calendar gives way to the words above it"
            assert await tab.faults() == [], look
            assert await tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, look
