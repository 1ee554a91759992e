"""Dates as a person writes them."""

from datetime import UTC, date, datetime

import pytest

from kalshi_ingest.cli import dates
from kalshi_ingest.cli.dates import end_of, start_of
from kalshi_ingest.errors import Unusable


@pytest.fixture(autouse=True)
def a_saturday_in_november(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "utc_now", lambda: datetime(2026, 11, 28, 0, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-11-03", date(2026, 11, 3), date(2026, 11, 3)),
        ("2027-01-01", date(2027, 1, 1), date(2027, 1, 1)),
        ("today", date(2026, 11, 28), date(2026, 11, 28)),
        ("yesterday", date(2026, 11, 27), date(2026, 11, 27)),
        ("0d", date(2026, 11, 28), date(2026, 11, 28)),
        ("30d", date(2026, 10, 29), date(2026, 10, 29)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2026-11", date(2026, 11, 1), date(2026, 11, 27)),
        ("2026-12", date(2026, 12, 1), date(2026, 12, 31)),
    ],
)
def test_a_date_is_written_in_many_ways(text: str, start: date, end: date) -> None:
    assert (start_of(text), end_of(text)) == (start, end)


@pytest.mark.parametrize(
    "text",
    ["", "14.11.2025", "20251114", "2025-W46-5", "2025-13", "0000-01", "2025", "d", "-1d", "999999d", "3 d", "now"],
)
def test_what_is_not_a_date_is_refused_with_what_would_be(text: str) -> None:
    for read, option in ((start_of, "--start"), (end_of, "--end")):
        with pytest.raises(Unusable, match=f"{option} {text} is not a date: write YYYY-MM-DD, today, yesterday, 30d"):
            read(text)


def test_on_the_first_the_present_month_is_that_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "utc_now", lambda: datetime(2026, 11, 1, tzinfo=UTC))
    assert (start_of("2026-11"), end_of("2026-11")) == (date(2026, 11, 1), date(2026, 11, 1))
