"""The report as a page: whole by itself, well formed, everything escaped, told not by colour alone."""

from datetime import date
from html.parser import HTMLParser

from kalshi_ingest.domain.coverage.judge import judge
from kalshi_ingest.jobs.coverage.report_page import as_page
from tests.domain.coverage.holdings import CHICAGO, CITIES, DAY, LOSER, SCOPE, Held, clean

_VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all_of(self, tag: str) -> list[str]:
        return [text for within, text in self.texts if within == tag]


def page(held: Held) -> Page:
    return Page(as_page(judge(held.evidence(), SCOPE)))


def test_it_is_well_formed_and_asks_nobody_for_anything() -> None:
    seen = page(clean())
    assert seen.open == []
    assert {tag for tag, _ in seen.tags}.isdisjoint({"script", "link", "img", "iframe"})
    addresses = [attrs[key] for _, attrs in seen.tags for key in ("href", "src") if key in attrs]
    assert {address[0] for address in addresses if address} == {"#"}
    assert not any("url(" in text or "@import" in text for text in seen.all_of("style"))
    assert any("default-src 'none'" in (attrs.get("content") or "") for tag, attrs in seen.tags if tag == "meta")


def test_the_answer_is_its_title_and_its_heading() -> None:
    answer = "Complete: 6 cities, 18 events, 108 markets, 1,080 trades, no holes"
    seen = page(clean())
    assert f"Coverage: {answer}" in seen.all_of("title")
    assert f" {answer}" in seen.all_of("h1")


def test_each_day_says_its_date_and_state_and_each_state_has_its_own_shape() -> None:
    held = clean()
    held.lose_day(CHICAGO, DAY)
    seen = page(held)
    assert seen.all_of("title")[1:4] == [
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
    assert LOSER in seen.all_of("code")
    assert "9 trades of 50.00 contracts are held, its checkpoint claims 10 of 50.00" in seen.all_of("span")
    assert seen.all_of("pre") == [
        "kalshi-ingest coverage --fix --start 2025-11-02 --end 2025-11-02 --city chicago",
    ]


def test_what_came_from_outside_cannot_become_markup() -> None:
    held = clean()
    evil = "<script>alert('&')</script>"
    held.claim(LOSER, state="failed", verdict=None, error=evil)
    held.series[f"X{evil}"] = None
    held.add_day(f"X{evil}", date(2025, 11, 1))
    html = as_page(judge(held.evidence(), SCOPE))
    assert "<script" not in html
    assert any(evil in text for text in Page(html).all_of("span"))
    assert f"X{evil}" in Page(html).all_of("th")


def test_an_empty_database_has_a_page() -> None:
    assert " 6 holes in 6 cities" in page(Held()).all_of("h1")


def test_weather_has_tables_once_it_is_ingested() -> None:
    held = clean()
    assert not any("Minute weather" in text for text in page(held).all_of("h2"))
    assert any("Not ingested, so not judged: settlements, minute weather." in text for text in page(held).all_of("p"))
    held.add_weather(*CITIES)
    held.settlement("chicago", DAY, is_preliminary=True)
    seen = page(held)
    assert "Settlements, by climate day" in seen.all_of("h2")
    assert "2/3" in seen.all_of("td")
    assert "5,184" in seen.all_of("td")
    assert any("partial report only" in text for text in seen.all_of("summary"))
