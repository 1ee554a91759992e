"""What `coverage --fix` is about to do: which backfills, what they forget before, how many requests and how long."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from kalshi_ingest.backfill.summary import duration
from kalshi_ingest.coverage.rules.days import USUAL_BINS
from kalshi_ingest.coverage.rules.findings import Judged, Remedy, Report
from kalshi_ingest.coverage.rules.remedies import work_left
from kalshi_ingest.domain.words import counted
from kalshi_ingest.exchange.api import EVENTS_PER_PAGE, FIRST_MARKETS, MARKETS_PER_PAGE
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted

_FETCHED = (Remedy.FETCH, Remedy.REFETCH)
_SHOWN, _LOGGED = 20, 100
"""Markets that are named to a person and in a log; `coverage --json` names all."""


@dataclass(frozen=True, slots=True)
class Fetch:
    wanted: Sequence[Wanted]
    dates: Dates
    markets: int
    """Markets whose trades have to be asked for, as far as it is known."""


@dataclass(frozen=True, slots=True)
class FixPlan:
    """Everything that fetching can mend."""

    fetches: Sequence[Fetch]
    forgotten: Sequence[str]
    """Markets whose checkpoint and candles are deleted first, because their rows contradict the proof."""
    requests: int
    """At the least: lists by what is known of their length, and one request for each market."""

    def text(self, requests_per_second: float) -> str:
        """For a person who is about to say yes or no."""
        lines = ["What coverage --fix would do:"]
        if self.forgotten:
            lines.append(
                f"  delete the checkpoint and the candles of {counted(len(self.forgotten), 'market')} whose rows "
                "contradict them, to rebuild them; trades stay unless the exchange contradicts them:"
            )
            lines += [f"    {ticker}" for ticker in self.forgotten[:_SHOWN]]
            lines += [f"    and {len(self.forgotten) - _SHOWN:,} more"] if len(self.forgotten) > _SHOWN else []
        for fetch in self.fetches:
            labels = ", ".join(each.label for each in fetch.wanted)
            dates = f"{fetch.dates.start} to {fetch.dates.end}"
            lines.append(f"  backfill event dates {dates} of {labels}: {counted(fetch.markets, 'market')}")
        seconds = self.requests / requests_per_second
        pace = f"{requests_per_second:g} requests a second"
        lines.append(f"At least {counted(self.requests, 'request')}, {duration(seconds)} at {pace}.")
        return "\n".join(lines)

    def fields(self, requests_per_second: float) -> dict[str, object]:
        return {
            "backfills": [
                f"{each.dates.start} to {each.dates.end}: {', '.join(wanted.label for wanted in each.wanted)}"
                for each in self.fetches
            ],
            "deletes_checkpoints_and_candles_of": list(self.forgotten[:_LOGGED]),
            "deletes_of_markets": len(self.forgotten),
            "requests": self.requests,
            "seconds": round(self.requests / requests_per_second),
        }


def fix_plan(report: Report) -> FixPlan:
    """The backfills that close every hole that fetching can close; none when there is no such hole."""
    wanted: dict[tuple[date, date], list[Wanted]] = {}
    markets: dict[tuple[date, date], int] = {}
    for work in work_left(report):
        if work.remedy in _FETCHED:
            dates = work.start, work.end
            markets[dates] = markets.get(dates, 0) + work.markets
            series = wanted.setdefault(dates, [])
            for subject in work.subjects:
                each = Wanted(subject.series_ticker, subject.city.key if subject.city else None)
                series += [] if each in series else [each]
    judged = {each.subject.series_ticker: each for each in report.series}
    fetches = [Fetch(series, Dates(*dates), markets[dates]) for dates, series in wanted.items()]
    return FixPlan(fetches, report.refetch_tickers, sum(_requests(each, judged) for each in fetches))


def _requests(fetch: Fetch, judged: Mapping[str, Judged]) -> int:
    """The cutoff, each series with its lists, and a page of trades for each market."""
    return 1 + sum(_of_lists(judged[each.series_ticker]) for each in fetch.wanted) + fetch.markets


def _of_lists(judged: Judged) -> int:
    """The series itself, the markets of both tiers, the events: at least those that are known to exist."""
    events = judged.figures.events_expected
    markets = max(judged.figures.markets_expected, events * USUAL_BINS if judged.subject.city else 0)
    more = math.ceil(max(0, markets - FIRST_MARKETS) / MARKETS_PER_PAGE)
    return 1 + 2 + more + max(1, math.ceil(events / EVENTS_PER_PAGE))
