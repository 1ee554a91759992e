"""The status page: one HTML page that needs nothing else, works without script, and renews itself with it."""

from collections.abc import Iterator

from kalshi_ingest.coverage.wording import FUTURE, MARKS, OUTSIDE
from kalshi_ingest.domain.words import counted
from kalshi_ingest.follow.state import FollowState, PeriodicJobState, Phase
from kalshi_ingest.web.cards import card
from kalshi_ingest.web.formatting import age, capital, weekday
from kalshi_ingest.web.market_section import market_section
from kalshi_ingest.web.templating import Templates
from kalshi_ingest.web.view import View, name_of

_PHASES = {
    Phase.STARTING: "starting",
    Phase.CATCHING_UP: "catching up with what it missed",
    Phase.FOLLOWING: "following the exchange",
    Phase.MAINTENANCE: "waiting for the exchange's maintenance to end",
    Phase.EXCHANGE_AWAY: "waiting for the exchange",
    Phase.DATABASE_AWAY: "waiting for the database",
    Phase.FAULT: "waiting after a fault of the program itself",
    Phase.STANDBY: "waiting for another run on the same series to end",
    Phase.STOPPING: "stopping",
}


def as_page(templates: Templates, view: View) -> str:
    reasons = view.state.not_ready()
    return templates.render(
        "status",
        version=view.version,
        reasons=reasons,
        headline=_headline(view.state, reasons),
        facts=list(_facts(view)),
        away=view.away,
        marks=[*MARKS.values(), FUTURE, OUTSIDE],
        cards=[card(view, series) for series in view.state.series.values()],
        service=list(_service(view.state)),
        **market_section(view),
    )


def _facts(view: View) -> Iterator[str]:
    state = view.state
    yield capital(f"{_PHASES[state.phase]}{f': {state.reason}' if state.reason else ''}")
    yield f"{weekday(view.now.date())} {view.now:%Y, %H:%M:%S} UTC"
    yield _budget(view)
    yield f"Running for {age((view.now - state.started_at).total_seconds())}"


def _headline(state: FollowState, reasons: list[str]) -> str:
    if len(reasons) == 1:
        return f"Not ready: {reasons[0]}"
    if reasons:
        return f"Not ready, for {len(reasons)} reasons"
    if state.phase is Phase.MAINTENANCE:
        return "Ready: the exchange is in maintenance, so nothing trades"
    names = [name_of(ticker) for ticker in state.series]
    if len(names) == 1:
        return f"{names[0]} is up to date"
    cities = all(series.wanted.city is not None for series in state.series.values())
    return f"All {len(names)} {'cities' if cities else 'series'} are up to date"


def _budget(view: View) -> str:
    budget = f"{view.state.requests_per_second:g} requests a second"
    if view.requests_per_second is None:
        return f"Budget {budget}"
    return f"Uses {view.requests_per_second:.1f} of {budget}"


def _service(state: FollowState) -> Iterator[tuple[str, str]]:
    """Name and value of what the service knows of itself, since the start."""
    seen = state.database_seen_at
    yield "Requests sent", f"{state.traffic.sent:,}, {state.retries:,} retries"
    yield "Refused for their pace (429)", f"{state.traffic.rate_limited:,}"
    yield "Pace at present", f"{state.pace:g} requests a second of {state.requests_per_second:g}"
    yield "Database", "has not answered yet" if seen is None else f"answered {age(state.clock() - seen)} ago"
    yield "Steps waiting for the writer", f"{state.queue:,}"
    yield ("Opened again after a loss", f"exchange {state.losses['exchange']:,}, database {state.losses['database']:,}")
    yield "Live channel (WebSocket)", _channel(state)
    for name, job in sorted(state.periodic_jobs.items()):
        yield f"Weather: {name}", _periodic_job(job, state)


def _channel(state: FollowState) -> str:
    channel = state.channel
    if channel is None:
        return "not used: no key is configured"
    word = "connected" if channel.connected else "not connected"
    return f"{word}, {counted(channel.messages, 'message')}, {counted(channel.gaps, 'gap')} filled again"


def _periodic_job(job: PeriodicJobState, state: FollowState) -> str:
    done = job.succeeded_at
    last = "not fetched yet" if done is None else f"fetched {age(state.clock() - done)} ago"
    return f"{last}; failing: {job.error}" if job.error else last
