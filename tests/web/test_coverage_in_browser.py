"""The page of `coverage` as a real browser draws it: every word is legible, on a phone and at night too."""

from pathlib import Path

from kalshi_ingest.domain.coverage.judge import judge
from kalshi_ingest.web.coverage_page import as_page
from tests.browser import LOOKS, browser, needs_browser
from tests.domain.coverage.holdings import CITIES, DAY, LOSER, SCOPE, clean

pytestmark = needs_browser

_NARROW = """
[...document.querySelectorAll('article')].filter(
  each => each.querySelector('.year').getBoundingClientRect().width < 0.8 * each.clientWidth).length
"""


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
