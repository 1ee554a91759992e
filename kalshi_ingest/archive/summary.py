"""`summary_report.txt`: the overview in a city's folder. It has no time of writing."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from kalshi_ingest.archive.queries.city_facts import NEVER_FETCHED, CityFacts, Gap, Traded, Unproved
from kalshi_ingest.domain.checkpoint import State, Verdict
from kalshi_ingest.parquet.manifest import FileEntry

_LISTED = 100
_UNPROVED = (State.OPEN, State.WALKING, State.FAILED, NEVER_FETCHED)
_MEANING = {
    Verdict.EXACT: "the trades held add up to the exchange's own volume",
    Verdict.SHORT: "they stay below it, after a second walk over every tier",
    Verdict.OVER: "they exceed it, after a second walk over every tier",
    Verdict.UNKNOWN: "the exchange states no volume",
    State.OPEN: "walked before the market settled",
    State.WALKING: "some pages are stored",
    State.FAILED: "see below",
    NEVER_FETCHED: "trades were never requested",
}


def summary_report(name: str, facts: CityFacts, files: Mapping[str, FileEntry]) -> str:
    """The text. `name`: what to head it with; `files`: the name of each file in the folder → the file."""
    entries = [(name, f"{file.rows:,}", f"rows, {file.size:,} bytes") for name, file in files.items()]
    lines = [
        name,
        "=" * len(name),
        *(
            f"Kalshi series {ticker}: {title}" if title else f"Kalshi series {ticker}"
            for ticker, title in sorted(facts.series.items())
        ),
        _dates(facts),
        *_section("Held", _held(facts)),
        *_section("Proof, in markets", _proof(facts)),
        *_section("Gaps", _gaps(facts.gaps)),
        *_section("Markets not proved complete", _unproved(facts.unproved)),
        *_section("Markets with most trades", _most_traded(facts.most_traded)),
        *_section("Files", _aligned(entries)),
        "",
        "Times are UTC, prices dollars per yes contract. Each file's columns are described in its own metadata.",
    ]
    return "\n".join(lines) + "\n"


def _dates(facts: CityFacts) -> str:
    if facts.first_event_date is None:
        return "Nothing is held of it."
    return f"Event dates {facts.first_event_date} to {facts.last_event_date}"


def _section(title: str, lines: Iterator[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)]


def _held(facts: CityFacts) -> Iterator[str]:
    rows = [("events", f"{facts.events:,}", ""), ("markets", f"{facts.markets:,}", "")]
    rows.append(("trades", f"{facts.trades:,}", _span("from", facts.first_trade, facts.last_trade)))
    rows.append(("contracts", f"{facts.contracts:,.2f}", ""))
    for minutes in (1, 5):
        span = facts.candles.get(minutes)
        count, detail = (
            ("0", "") if span is None else (f"{span.candles:,}", _span("periods from", span.first, span.last))
        )
        rows.append((f"{minutes}-minute candles", count, detail))
    yield from _aligned(rows)


def _span(word: str, first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    return f"{word} {_time(first)} to {_time(last)}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _proof(facts: CityFacts) -> Iterator[str]:
    rows = [(str(word), f"{facts.states.get(word, 0):,}", _MEANING[word]) for word in Verdict]
    left = sum(facts.states.get(word, 0) for word in _UNPROVED)
    rows.append(("not proved", f"{left:,}", "listed below" if left else ""))
    rows += [(f"  {word}", f"{facts.states[word]:,}", _MEANING[word]) for word in _UNPROVED if word in facts.states]
    yield from _aligned(rows)


def _gaps(gaps: Sequence[Gap]) -> Iterator[str]:
    if not gaps:
        yield "none"
    for gap in gaps[:_LISTED]:
        if gap.listed_events is None:
            yield f"{gap.day}  no event held, and the exchange's list of that date was never stored"
        else:
            yield (
                f"{gap.day}  the exchange listed {gap.listed_events} events and {gap.listed_markets} markets, "
                f"held are {gap.held_events} and {gap.held_markets}"
            )
    yield from _more(len(gaps))


def _unproved(markets: Sequence[Unproved]) -> Iterator[str]:
    if not markets:
        yield "none"
    for market in markets[:_LISTED]:
        yield f"{market.ticker}  {market.state}" + (f": {' '.join(market.error.split())}" if market.error else "")
    yield from _more(len(markets))


def _more(count: int) -> Iterator[str]:
    if count > _LISTED:
        yield f"and {count - _LISTED:,} more"


def _most_traded(markets: Sequence[Traded]) -> Iterator[str]:
    if not markets:
        yield "none"
    yield from _aligned(
        [
            (
                each.ticker,
                f"{each.trades:,}",
                f"trades of {each.contracts:,.2f} contracts, {each.verdict or 'not proved'}",
            )
            for each in markets
        ]
    )


def _aligned(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    words, numbers = (max((len(row[at]) for row in rows), default=0) for at in (0, 1))
    for word, number, detail in rows:
        yield f"{word:<{words}}  {number:>{numbers}}  {detail}".rstrip()
