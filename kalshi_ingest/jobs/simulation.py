"""The options of `simulate`, and which of their values make sense."""

import argparse
import math
from datetime import date

from kalshi_ingest.errors import Unusable

_OF_A_MADE_UP_WORLD = {"start": None, "end": None, "seed": 1, "trades_per_market": 150.0, "giant": 0, "plain": False}
"""Options that say what to make up, with their defaults: an archive holds what it holds."""


def add_simulate_options(parser: argparse.ArgumentParser) -> None:
    """The options of `simulate`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on, 0 for a free one (default 8765)")
    parser.add_argument("--archive", metavar="DIR", help="serve this archive, which `export` wrote, not made-up data")
    parser.add_argument("--start", help="first event date (default: 30 days before --end)")
    parser.add_argument("--end", help="last event date (default: yesterday)")
    parser.add_argument("--seed", type=int, help="same seed, same world (default 1)")
    parser.add_argument("--trades-per-market", type=float, help="mean (default 150)")
    parser.add_argument("--giant", type=int, help="one market with so many trades")
    parser.add_argument("--plain", action="store_true", help="leave out the oddities of the real exchange")
    parser.set_defaults(**_OF_A_MADE_UP_WORLD)
    parser.add_argument(
        "--cutoff",
        metavar="DATE",
        help="what was settled or traded before it is in the historical tier "
        "(default: 60 days ago; with --archive 60 days before its last settlement)",
    )
    parser.add_argument("--limit", type=float, default=20.0, help="requests/s allowed, 0 for no limit (default 20)")
    parser.add_argument("--latency", type=float, default=0.0, help="mean seconds added to each answer (default 0)")
    parser.add_argument("--error-rate", type=float, default=0.0, help="share of requests that fail (default 0)")


def check_simulation(arguments: argparse.Namespace, start: date, end: date) -> None:
    """Refuse numbers that no exchange can be made from, and what cannot be asked of an archive."""
    given = [name for name, default in _OF_A_MADE_UP_WORLD.items() if getattr(arguments, name) != default]
    if arguments.archive is not None and given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise Unusable(f"--archive serves what the archive holds: leave out {options}")
    if start > end:
        raise Unusable(f"--start {start} lies after --end {end}")
    trades = arguments.trades_per_market
    for option, value, fits, allowed in (  # NaN fits nowhere
        ("--port", arguments.port, 0 <= arguments.port <= 65535, "0 to 65535"),
        ("--trades-per-market", trades, 0 < trades <= 1500, "above 0, 1500 at most"),
        ("--giant", arguments.giant, arguments.giant >= 0, "0 or more"),
        ("--limit", arguments.limit, 0 <= arguments.limit < math.inf, "0 or more"),
        ("--latency", arguments.latency, 0 <= arguments.latency < math.inf, "0 or more"),
        ("--error-rate", arguments.error_rate, 0 <= arguments.error_rate <= 1, "0 to 1"),
    ):
        if not fits:
            raise Unusable(f"{option} {value} is out of range: {allowed}")
