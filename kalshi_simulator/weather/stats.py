"""What the simulated weather services have seen, so that a test can judge how politely it was asked."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

SETTLEMENT_SERVICES = ("cli_json", "cli_geojson", "afos", "afos_list", "nwstext", "cf6_json", "ncei")
"""Services that state official maxima."""


class WeatherStats:
    """Requests by service and provider; times are readings of the simulator's clock, seconds."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen so far, Visual Crossing's spent records too."""
        self.by_service: Counter[str] = Counter()
        self.by_status: defaultdict[str, Counter[int]] = defaultdict(Counter)
        """Statuses by service."""
        self.times: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        """When requests arrived, by provider: iem, ncei, visual_crossing."""
        self.records: Counter[str] = Counter()
        """Visual Crossing's records by UTC day."""
        self.most_at_once = 0
        """The most requests that were at Visual Crossing at the same time."""

    def saw(self, provider: str, service: str, moment: float) -> None:
        """A request arrived."""
        self.by_service[service] += 1
        self.times[provider].append(moment)

    @property
    def settlement_requests(self) -> int:
        """Requests to the services that state official maxima."""
        return sum(self.by_service[service] for service in SETTLEMENT_SERVICES)

    def closest(self, provider: str) -> float | None:
        """Seconds between the two requests to a provider that came closest after each other."""
        return min((after - before for before, after in pairwise(self.times[provider])), default=None)

    def as_json(self) -> dict[str, Any]:
        """Everything but the single times."""
        return {
            "by_service": dict(self.by_service),
            "by_status": {
                service: {str(status): count for status, count in counts.items()}
                for service, counts in self.by_status.items()
            },
            "settlement_requests": self.settlement_requests,
            "closest_seconds": {provider: self.closest(provider) for provider in self.times},
            "visual_crossing_records": dict(self.records),
            "visual_crossing_most_at_once": self.most_at_once,
        }
