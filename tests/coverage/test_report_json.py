"""The report for programs: every finding, stable keys."""

import json
from typing import Any

from kalshi_ingest.coverage.report_json import as_json
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.coverage.wording import KINDS
from tests.coverage.holdings import CHICAGO, CITIES, DAY, EVENT, LOSER, SCOPE, Held, clean


def answer(held: Held) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(as_json(judge(held.evidence(), SCOPE)))
    return decoded


def test_a_clean_report() -> None:
    found = answer(clean())
    assert list(found) == [
        *("complete", "start", "end", "today", "settlement", "minutes", "total", "series"),
        *("holes", "warnings", "notes", "remedies"),
    ]
    assert found["complete"] is True
    assert (found["start"], found["end"], found["today"]) == ("2025-11-01", "2025-11-03", "2025-11-20")
    assert (found["settlement"], found["minutes"]) == ("not ingested", "not ingested")
    assert (found["holes"], found["warnings"], found["notes"], found["remedies"]) == ([], [], [], [])
    chicago = found["series"][0]
    assert (chicago["series_ticker"], chicago["city"]) == ("KXHIGHCHI", "chicago")
    assert chicago["days"] == {f"2025-11-0{n}": "complete" for n in (1, 2, 3)}
    assert chicago["figures"]["contracts"] == "900.00"
    assert found["total"]["markets_expected"] == found["total"]["markets_held"] == 108


def test_every_hole_is_there_with_its_place_and_remedy() -> None:
    held = clean(days=30)
    for ticker in held.markets:
        held.row(ticker, wrong_candles=1)
    held.row(LOSER, trades=9)
    found = answer(held)
    assert found["complete"] is False
    assert len(found["holes"]) == found["total"]["holes"] == len(held.markets)
    assert next(hole for hole in found["holes"] if hole["kind"] == "trades_lost") == {
        "kind": "trades_lost",
        "label": "chicago",
        "series_ticker": CHICAGO,
        "day": str(DAY),
        "last_day": str(DAY),
        "event_ticker": EVENT,
        "ticker": LOSER,
        "text": "9 trades of 50.00 contracts are held, its checkpoint claims 10 of 50.00",
        "remedy": "refetch",
    }
    assert found["remedies"][0]["command"].startswith(
        "kalshi-ingest coverage --fix --start 2025-11-01 --end 2025-11-30 --city chicago --city miami"
    )
    assert {hole["kind"] for hole in found["holes"]} <= KINDS.keys()


def test_weather_has_figures_of_its_own() -> None:
    assert answer(clean())["total"]["settlements"] is None
    held = clean()
    held.add_weather(*CITIES)
    held.minutes("chicago", DAY, observed=280, filled=8, observed_held=280, filled_held=8)
    found = answer(held)
    assert (found["settlement"], found["minutes"]) == ("judged", "judged")
    assert found["total"]["settlements"]["days_settled"] == found["total"]["settlements"]["agree"] == 18
    chicago = found["series"][0]["figures"]["minutes"]
    assert (chicago["slots_observed"], chicago["slots_filled"], chicago["slots_expected"]) == (856, 8, 864)
    assert chicago["filled_share"] == 8 / 864
