"""The report as a page: whole by itself, well formed, everything escaped, told not by colour alone."""

import subprocess
import sys
from datetime import date

from kalshi_ingest.coverage.rules.findings import DayState
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.coverage.wording import MARKS
from kalshi_ingest.domain.checkpoint import State
from kalshi_ingest.web.coverage_page import as_page
from tests.coverage.holdings import CHICAGO, CITIES, DAY, LOSER, SCOPE, Held, clean
from tests.support.pages import Page


def page(held: Held) -> Page:
    return Page(as_page(judge(held.evidence(), SCOPE)))


def test_it_is_well_formed_and_asks_nobody_for_anything() -> None:
    seen = page(clean())
    assert seen.open == []
    assert {tag for tag, _ in seen.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert not any(key in attrs for _, attrs in seen.tags for key in ("href", "src"))
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
    days = [attrs for attrs in seen.all_of("span", "dot") if "title" in attrs]
    assert len(days) == 18
    assert [(attrs["class"], attrs["title"]) for attrs in days[:3]] == [
        ("dot c", "Sat 2025-11-01: complete"),
        ("dot h", "Sun 2025-11-02: a hole"),
        ("dot c", "Mon 2025-11-03: complete"),
    ]
    labels = [attrs["aria-label"] for attrs in seen.all_of("div", "year")]
    assert (labels[0], len(labels)) == ("Chicago 2025: 2 complete, 1 hole", 6)
    assert seen.words.count("✕") == 3, "in the legend, beside the answer and on the day"
    assert len({"" if state is DayState.COMPLETE else mark.sign for state, mark in MARKS.items()}) == len(DayState)


def test_a_month_begins_with_its_first_day_and_what_was_not_judged_is_blank() -> None:
    held = clean(start=date(2024, 2, 28), days=4)
    days = page(held).all_of("span", "dot")
    assert [attrs.get("title") for attrs in days if attrs.get("class") != "dot"][1:5] == [
        f"{name}: complete" for name in ("Wed 2024-02-28", "Thu 2024-02-29", "Fri 2024-03-01", "Sat 2024-03-02")
    ]


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


def test_only_who_shows_a_page_waits_for_the_templates() -> None:
    asked = "import sys, kalshi_ingest.cli.coverage, kalshi_ingest.cli.follow; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
