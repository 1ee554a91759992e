"""How often the service polls what, chosen for the exchange's public limits."""

import math
from dataclasses import dataclass

_BACK_US = 60_000_000
"""By how much the estimate of the exchange's time may run back before an earlier mark counts as wrong."""


def passed(now_us: int, mark_us: int) -> float:
    """Seconds of the exchange's time since a mark; infinite for one in the future, which a wrong clock has set."""
    return (now_us - mark_us) / 1e6 if mark_us <= now_us + _BACK_US else math.inf


@dataclass(frozen=True, slots=True)
class PollIntervals:
    """Seconds between two polls of each kind. Tests that run through weeks within minutes choose others."""

    poll: float = 1.0
    """Volumes of the markets that trade."""
    poll_with_channel: float = 2.0
    """The same while the WebSocket announces trades: finds those that it missed."""
    cross_check: float = 1.0
    """Trades of one market whose volume stands still: volumes may stand still for another reason than that nothing is
    traded. Only when nothing else is to be done."""
    quiet: float = 10.0
    """Markets that wait for their opening or their result."""
    listings: float = 300.0
    """The lists of each series: new events, and everything about a market but its trades. Counted in the exchange's
    time as well as in real time, whichever is sooner, but never sooner than `listings_pause`."""
    listings_pause: float = 2.0
    listings_retry: float = 20.0
    """The same after they could not be read whole."""
    deep: float = 86_400.0
    """The lists from the first unfinished event date on, however old it is, in the exchange's time."""
    settlement: float = 3_600.0
    minutes: float = 21_600.0
    job_pause: float = 20.0
    """Between two runs of a job, whatever the exchange's time says."""
    log: float = 5.0
    """The run's rows in the ingestion log."""
    summary: float = 300.0
    """A line in the log on how things stand."""
    database_silence: float = 30.0
    """How long a database may say nothing, or be read-only or locked, before its connections are given up."""
    away: float = 10.0
    """Looks at an exchange or a database that is away."""
    fault: float = 1.0
    """The pause after an unexpected exception; it doubles with each one in a row."""
    longest_fault: float = 60.0
    """The longest of these pauses, and how long a session has to work to end such a row."""
