"""The options of `simulate`, and which of their values make sense."""

import argparse
import math
from datetime import UTC, date, datetime, timedelta

from kalshi_ingest.errors import Unusable

AHEAD = timedelta(days=40)
"""How far ahead events are listed where the clock runs, unless `--end` says otherwise."""

_OF_A_MADE_UP_WORLD = {
    "start": None,
    "end": None,
    "seed": 1,
    "trades_per_market": 150.0,
    "giant": 0,
    "plain": False,
    "speed": 0.0,
    "from": None,
    "archive_age": None,
}
"""Options that say what to make up, with their defaults: an archive holds what it holds."""


def add_simulate_options(parser: argparse.ArgumentParser) -> None:
    """The options of `simulate`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on, 0 for a free one (default 8765)")
    parser.add_argument("--archive", metavar="DIR", help="serve this archive, which `export` wrote, not made-up data")
    parser.add_argument(
        "--start", help="first event date (default: 30 days before --end, or before --from with --speed)"
    )
    parser.add_argument(
        "--end", help=f"last event date (default: the day before --from; {AHEAD.days} days after it with --speed)"
    )
    parser.add_argument("--seed", type=int, help="same seed, same world (default 1)")
    parser.add_argument("--trades-per-market", type=float, help="mean (default 150)")
    parser.add_argument("--giant", type=int, help="one market with so many trades")
    parser.add_argument("--plain", action="store_true", help="leave out the oddities of the real exchange")
    parser.add_argument(
        "--speed",
        type=float,
        metavar="N",
        help="simulated seconds per second: 1 is real time, 0 stands still (default 0)",
    )
    parser.add_argument(
        "--from",
        metavar="MOMENT",
        help="where the clock starts or stands, as 2026-05-01T14:00:00Z or 2026-05-01 (default: now)",
    )
    parser.add_argument(
        "--archive-age",
        type=float,
        metavar="DAYS",
        help="the historical tier begins so many days before the clock's moment, and moves with it (default 60)",
    )
    parser.set_defaults(**_OF_A_MADE_UP_WORLD)
    parser.add_argument(
        "--maintenance",
        action="store_true",
        help="close for maintenance on Thursdays, 03:00 to 05:00 New York time, by the simulated clock",
    )
    parser.add_argument(
        "--public-key",
        metavar="FILE",
        help="check signatures with this public key (PEM, RSA or Ed25519; default: any signature is good)",
    )
    parser.add_argument(
        "--cutoff",
        metavar="DATE",
        help="what was settled or traded before it is in the historical tier "
        "(default: as --archive-age says; with --archive 60 days before its last settlement)",
    )
    parser.add_argument("--limit", type=float, default=20.0, help="requests/s allowed, 0 for no limit (default 20)")
    parser.add_argument("--latency", type=float, default=0.0, help="mean seconds added to each answer (default 0)")
    parser.add_argument(
        "--cache-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="a shared cache repeats each answer with market data for so long (default 0: no cache; reported: 15)",
    )
    parser.add_argument("--error-rate", type=float, default=0.0, help="share of requests that fail (default 0)")


def start_of_the_clock(text: str | None, now: datetime) -> datetime:
    """The moment of `--from`, a date standing for its midnight in UTC. Raises `Unusable` for anything else."""
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is None and len(text) == len("2026-05-01"):
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise Unusable(f"--from {text} is no moment: write 2026-05-01T14:00:00Z or 2026-05-01")
    return moment.astimezone(UTC)


def check_simulation(arguments: argparse.Namespace, start: date, end: date) -> None:
    """Refuse numbers that no exchange can be made from, and what cannot be asked of an archive."""
    given = [name for name, default in _OF_A_MADE_UP_WORLD.items() if getattr(arguments, name) != default]
    if arguments.archive is not None and given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise Unusable(f"--archive serves what the archive holds: leave out {options}")
    if arguments.cutoff is not None and arguments.archive_age is not None:
        raise Unusable("--cutoff stands still and --archive-age lets it move: leave one out")
    if start > end:
        raise Unusable(f"--start {start} lies after --end {end}")
    trades = arguments.trades_per_market
    for option, value, fits, allowed in (  # NaN fits nowhere
        ("--port", arguments.port, 0 <= arguments.port <= 65535, "0 to 65535"),
        ("--trades-per-market", trades, 0 < trades <= 3000, "above 0, 3000 at most"),
        ("--giant", arguments.giant, arguments.giant >= 0, "0 or more"),
        ("--speed", arguments.speed, 0 <= arguments.speed < math.inf, "0 or more"),
        ("--archive-age", arguments.archive_age, 0 <= (arguments.archive_age or 0) <= 3650, "0 to 3650"),
        ("--limit", arguments.limit, 0 <= arguments.limit < math.inf, "0 or more"),
        ("--latency", arguments.latency, 0 <= arguments.latency < math.inf, "0 or more"),
        ("--cache-seconds", arguments.cache_seconds, 0 <= arguments.cache_seconds <= 3600, "0 to 3600"),
        ("--error-rate", arguments.error_rate, 0 <= arguments.error_rate <= 1, "0 to 1"),
    ):
        if not fits:
            raise Unusable(f"{option} {value} is out of range: {allowed}")
