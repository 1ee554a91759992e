"""What may go wrong, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kalshi_simulator.channel_faults import ChannelFaults
from kalshi_simulator.maintenance import Maintenance

TARGETED = frozenset(
    {
        "repeat_cursor",
        "empty_page_with_cursor",
        "duplicate_seam",
        "foreign_row",
        "missing_field",
        "price_out_of_range",
        "zero_count",
        "bad_sum",
        "truncated_json",
        "html_200",
        "huge_body",
        "stall",
        "http_404",
        "http_400",
        "short_answer",
        "unknown_extra_field",
        "nine_digits",
        "forever_500",
    }
)
"""Kinds of faults that a ticker's trades can be made to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Seeded faults of a simulated exchange.

    `error_rate` is the share of requests that meet a random transport fault. `targeted` makes the trades of
    single tickers wrong in one way each; `times` limits how often each of them does so, None is for ever
    (`short_answer` happens once in any case). `missing_field` drops `yes_price_dollars` unless a name
    follows a colon. `retry_after` (seconds) puts a header on 429s that the real exchange does not send.
    """

    seed: int = 1
    error_rate: float = 0.0
    targeted: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    retry_after: float | None = None
    slow_body_seconds: float = 0.5
    """How long a slow body takes."""
    huge_body_bytes: int = 100_000_000
    channel: ChannelFaults = field(default_factory=ChannelFaults)
    maintenance: Maintenance = field(default_factory=Maintenance)

    def __post_init__(self) -> None:
        unknown = {kind.partition(":")[0] for kind in self.targeted.values()} - TARGETED
        if unknown:
            raise ValueError(f"unknown targeted faults: {', '.join(sorted(unknown))}")
