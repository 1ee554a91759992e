"""The options of the simulator's command, and which of their values make sense."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter

AHEAD = timedelta(days=40)
"""How far ahead events are listed where the clock runs, unless `--end` says otherwise."""

_OF_A_MADE_UP_WORLD = (
    "start",
    "end",
    "seed",
    "trades_per_market",
    "giant",
    "plain",
    "speed",
    "from",
    "archive_age",
)
"""Options that say what to make up: an archive holds what it holds."""


class WrongOptionError(ValueError):
    """An option that makes no sense; the message is one line for the user."""


def _option(text: str, *, name: str | None = None, metavar: str | None = None) -> Parameter:
    return Parameter(name=name, help=text, metavar=metavar)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to simulate and how. Dates and moments are texts as they were typed."""

    host: Annotated[str, _option("address to listen on (default 127.0.0.1)")] = "127.0.0.1"
    port: Annotated[int, _option("port to listen on, 0 for a free one (default 8765)")] = 8765
    archive: Annotated[
        str | None, _option("serve this archive, which `export` wrote, not made-up data", metavar="DIR")
    ] = None
    start: Annotated[
        str | None,
        _option("first event date (default: 30 days before --end, or before --from with --speed)", metavar="D"),
    ] = None
    end: Annotated[
        str | None,
        _option(
            f"last event date (default: the day before --from; {AHEAD.days} days after it with --speed)", metavar="D"
        ),
    ] = None
    seed: Annotated[int, _option("same seed, same world (default 1)", metavar="N")] = 1
    trades_per_market: Annotated[float, _option("mean (default 150)", metavar="N")] = 150.0
    giant: Annotated[int, _option("one market with so many trades", metavar="N")] = 0
    plain: Annotated[bool, _option("leave out the oddities of the real exchange")] = False
    speed: Annotated[
        float,
        _option("simulated seconds per second: 1 is real time, 0 stands still (default 0)", metavar="N"),
    ] = 0.0
    from_: Annotated[
        str | None,
        _option(
            "where the clock starts or stands, as 2026-05-01T14:00:00Z or 2026-05-01 (default: now)",
            name="--from",
            metavar="MOMENT",
        ),
    ] = None
    archive_age: Annotated[
        float | None,
        _option(
            "the historical tier begins so many days before the clock's moment, and moves with it (default 60)",
            metavar="DAYS",
        ),
    ] = None
    maintenance: Annotated[
        bool, _option("close for maintenance on Thursdays, 03:00 to 05:00 New York time, by the simulated clock")
    ] = False
    public_key: Annotated[
        str | None,
        _option(
            "check signatures with this public key (PEM, RSA or Ed25519; default: any signature is good)",
            metavar="FILE",
        ),
    ] = None
    cutoff: Annotated[
        str | None,
        _option(
            "what was settled or traded before it is in the historical tier "
            "(default: as --archive-age says; with --archive 60 days before its last settlement)",
            metavar="DATE",
        ),
    ] = None
    limit: Annotated[float, _option("requests/s allowed, 0 for no limit (default 20)", metavar="N")] = 20.0
    latency: Annotated[float, _option("mean seconds added to each answer (default 0)", metavar="S")] = 0.0
    cache_seconds: Annotated[
        float,
        _option(
            "a shared cache repeats each answer with market data for so long (default 0: no cache; reported: 15)",
            metavar="S",
        ),
    ] = 0.0
    error_rate: Annotated[float, _option("share of requests that fail (default 0)", metavar="SHARE")] = 0.0

    def check(self, start: date, end: date) -> None:
        """Raise `WrongOptionError` for what no exchange can be made from, and for what an archive cannot be asked."""
        given = [
            field.name.strip("_")
            for field in fields(self)
            if field.name.strip("_") in _OF_A_MADE_UP_WORLD and getattr(self, field.name) != field.default
        ]
        if self.archive is not None and given:
            options = ", ".join("--" + name.replace("_", "-") for name in given)
            raise WrongOptionError(f"--archive serves what the archive holds: leave out {options}")
        if self.cutoff is not None and self.archive_age is not None:
            raise WrongOptionError("--cutoff stands still and --archive-age lets it move: leave one out")
        if start > end:
            raise WrongOptionError(f"--start {start} lies after --end {end}")
        trades = self.trades_per_market
        for option, value, fits, allowed in (  # NaN fits nowhere
            ("--port", self.port, 0 <= self.port <= 65535, "0 to 65535"),
            ("--trades-per-market", trades, 0 < trades <= 3000, "above 0, 3000 at most"),
            ("--giant", self.giant, self.giant >= 0, "0 or more"),
            ("--speed", self.speed, 0 <= self.speed < math.inf, "0 or more"),
            ("--archive-age", self.archive_age, 0 <= (self.archive_age or 0) <= 3650, "0 to 3650"),
            ("--limit", self.limit, 0 <= self.limit < math.inf, "0 or more"),
            ("--latency", self.latency, 0 <= self.latency < math.inf, "0 or more"),
            ("--cache-seconds", self.cache_seconds, 0 <= self.cache_seconds <= 3600, "0 to 3600"),
            ("--error-rate", self.error_rate, 0 <= self.error_rate <= 1, "0 to 1"),
        ):
            if not fits:
                raise WrongOptionError(f"{option} {value} is out of range: {allowed}")


def moment_of(text: str | None, now: datetime) -> datetime:
    """The moment of `--from`, a date standing for its midnight in UTC; `now` without one. Raises `WrongOptionError`."""
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is None and len(text) == len("2026-05-01"):
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise WrongOptionError(f"--from {text} is not a moment: write 2026-05-01T14:00:00Z or 2026-05-01")
    return moment.astimezone(UTC)


def date_of(text: str, option: str) -> date:
    """One date, YYYY-MM-DD; `option` names it in the error. Raises `WrongOptionError`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise WrongOptionError(f"{option} {text} is not a date: write YYYY-MM-DD")
    return day
