"""The report as a page: whole by itself, well formed, everything escaped, told not by colour alone."""

from datetime import date

from kalshi_ingest.domain.checkpoint import State
from kalshi_ingest.domain.coverage.judge import judge
from kalshi_ingest.jobs.coverage.report_page import as_page
from tests.domain.coverage.holdings import CHICAGO, CITIES, DAY, LOSER, SCOPE, Held, clean
from tests.pages import Page


def page(held: Held) -> Page:
    return Page(as_page(judge(held.evidence(), SCOPE)))


def test_it_is_well_formed_and_asks_nobody_for_anything() -> None:
    seen = page(clean())
    assert seen.open == []
    assert {tag for tag, _ in seen.tags}.isdisjoint({"script", "link", "img", "iframe"})
    addresses = [attrs[key] for _, attrs in seen.tags for key in ("href", "src") if key in attrs]
    assert {address[0] for address in addresses if address} == {"#"}
    assert not any("url(" in text or "@import" in text for text in seen.inside("style"))
    assert any("default-src 'none'" in (attrs.get("content") or "") for tag, attrs in seen.tags if tag == "meta")


def test_the_answer_is_its_title_and_its_heading() -> None:
    answer = "Complete: 6 cities, 18 events, 108 markets, 1,080 trades, no holes"
    seen = page(clean())
    assert f"Coverage: {answer}" in seen.inside("title")
    assert f" {answer}" in seen.inside("h1")


def test_each_day_says_its_date_and_state_and_each_state_has_its_own_shape() -> None:
    held = clean()
    held.lose_day(CHICAGO, DAY)
    seen = page(held)
    assert seen.inside("title")[1:4] == [
        "Sat 2025-11-01: complete",
        "Sun 2025-11-02: a hole",
        "Mon 2025-11-03: complete",
    ]
    days = [attrs["href"] for tag, attrs in seen.tags if tag == "use" and "x" in attrs]
    assert (days[:3], len(days)) == (["#c", "#h", "#c"], 18)
    labels = [attrs["aria-label"] for tag, attrs in seen.tags if tag == "svg" and "aria-label" in attrs]
    assert labels[0] == "Chicago 2025: 2 complete, 1 hole"
    assert {attrs["id"] for tag, attrs in seen.tags if tag == "symbol"} == {"c", "w", "h", "o", "n"}


def test_holes_are_listed_with_what_closes_them() -> None:
    held = clean()
    held.row(LOSER, trades=9)
    seen = page(held)
    assert LOSER in seen.inside("code")
    assert "9 trades of 50.00 contracts are held, its checkpoint claims 10 of 50.00" in seen.inside("span")
    assert seen.inside("pre") == [
        "kalshi-ingest coverage --fix --start 2025-11-02 --end 2025-11-02 --city chicago",
    ]


def test_what_came_from_outside_cannot_become_markup() -> None:
    held = clean()
    evil = "<script>alert('&')</script>"
    held.claim(LOSER, state=State.FAILED, verdict=None, error=evil)
    held.series[f"X{evil}"] = None
    held.add_day(f"X{evil}", date(2025, 11, 1))
    html = as_page(judge(held.evidence(), SCOPE))
    assert "<script" not in html
    assert any(evil in text for text in Page(html).inside("span"))
    assert f"X{evil}" in Page(html).inside("th")


def test_an_empty_database_has_a_page() -> None:
    assert " 6 holes in 6 cities" in page(Held()).inside("h1")


def test_weather_has_tables_once_it_is_ingested() -> None:
    held = clean()
    assert not any("Minute weather" in text for text in page(held).inside("h2"))
    assert any("Not ingested, so not judged: settlements, minute weather." in text for text in page(held).inside("p"))
    held.add_weather(*CITIES)
    held.settlement("chicago", DAY, is_preliminary=True)
    seen = page(held)
    assert "Settlements, by climate day" in seen.inside("h2")
    assert "2/3" in seen.inside("td")
    assert "5,184" in seen.inside("td")
    assert any("partial report only" in text for text in seen.inside("summary"))
