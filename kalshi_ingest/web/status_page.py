"""The status page: one HTML page that needs nothing else, works without script, and renews itself with it."""

from collections.abc import Iterator

from kalshi_ingest.jobs.follow.state import ErrandState, FollowState, Phase
from kalshi_ingest.web.cards import card
from kalshi_ingest.web.chosen import market_section
from kalshi_ingest.web.days import legend
from kalshi_ingest.web.script import SCRIPT
from kalshi_ingest.web.style import ICON, STYLE
from kalshi_ingest.web.view import View, name_of
from kalshi_ingest.web.words import age, count, text, weekday

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


def as_page(view: View) -> str:
    """The whole page. Every text in it is escaped."""
    ready = not view.state.not_ready()
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<noscript><meta http-equiv="refresh" content="30"></noscript>',
            f"<title>{'✓' if ready else '✕'} kalshi_ingest</title>",
            f'<link rel="icon" href="{ICON}">\n<style>{STYLE}</style>\n</head>\n<body>',
            *_head(view),
            "<main>",
            *_cities(view),
            market_section(view),
            *_service(view),
            f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def _head(view: View) -> Iterator[str]:
    state = view.state
    reasons = state.not_ready()
    kind, mark = ("good", "✓") if not reasons else ("bad", "✕")
    yield f'<header class="{kind}" id="head" data-live>'
    yield f'<p class="label">kalshi_ingest {text(view.version)}: Kalshi&#39;s daily high-temperature markets</p>'
    yield f'<h1><span class="mark" aria-hidden="true">{mark}</span> {text(_headline(state, reasons))}</h1>'
    if len(reasons) > 1:
        yield f'<ul class="reasons">{"".join(f"<li>{text(_capital(each))}</li>" for each in reasons)}</ul>'
    doing = f"{_PHASES[state.phase]}{f': {state.reason}' if state.reason else ''}"
    yield f'<ul class="facts"><li>{text(_capital(doing))}</li>'
    yield f"<li>{weekday(view.now.date())} {view.now:%Y, %H:%M:%S} UTC</li><li>{text(_budget(view))}</li>"
    yield f"<li>Running for {age((view.now - state.started_at).total_seconds())}</li></ul>"
    yield '<p class="lost" role="status">The service does not answer. What is shown is from when it last did.</p>'
    yield "</header>"


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


def _cities(view: View) -> Iterator[str]:
    yield "<section><h2>Cities</h2>"
    if view.held is None:
        yield (
            f'<p class="notice" id="above" data-live>Nothing from the database: {text(view.away)}. Events, calendars '
            "and the chart come back with it; the rest is what the service knows by itself.</p>"
        )
    else:
        yield f'<div id="above" data-live>{legend()}</div>'
    yield '<div class="cities">'
    yield from (card(view, series) for series in view.state.series.values())
    yield "</div></section>"


def _service(view: View) -> Iterator[str]:
    state = view.state
    seen = state.database_seen_at
    rows = [
        ("Requests sent", f"{state.requests:,}, {state.retries:,} of them again"),
        ("Refused for their pace (429)", f"{state.rate_limited:,}"),
        ("Pace at present", f"{state.pace:g} requests a second of {state.requests_per_second:g}"),
        ("Database", "has not answered yet" if seen is None else f"answered {age(state.clock() - seen)} ago"),
        ("Steps waiting for the writer", f"{state.queue:,}"),
        ("Opened again after a loss", f"exchange {state.losses['exchange']:,}, database {state.losses['database']:,}"),
        ("Live channel (WebSocket)", _channel(state)),
        *((f"Weather: {name}", _errand(errand, state)) for name, errand in sorted(state.errands.items())),
    ]
    yield '<section id="service" data-live><h2>Service</h2><dl class="service">'
    yield from (f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in rows)
    yield "</dl>"
    yield (
        '<p class="note">For machines: <a href="/livez">livez</a>, <a href="/readyz">readyz</a>, '
        '<a href="/metrics">metrics</a>. Counts are since the start.</p></section>'
    )


def _channel(state: FollowState) -> str:
    channel = state.channel
    if channel is None:
        return "not used: no key is configured"
    word = "connected" if channel.connected else "not connected"
    return f"{word}, {count(channel.messages, 'message')}, {count(channel.gaps, 'gap')} filled again"


def _errand(errand: ErrandState, state: FollowState) -> str:
    done = errand.succeeded_at
    last = "not fetched yet" if done is None else f"fetched {age(state.clock() - done)} ago"
    return f"{last}; failing: {errand.error}" if errand.error else last


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
