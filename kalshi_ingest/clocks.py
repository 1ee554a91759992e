"""This machine's clocks: the time, and a monotonic one."""

import time
from datetime import UTC, datetime

# Linux's monotonic clock stands still while the machine sleeps; what is stale after a sleep would look fresh.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds on a monotonic clock that continues while the machine sleeps."""
    return time.clock_gettime(_STEADY)


def utc_now() -> datetime:
    """The time on this machine's clock, UTC: the one place that reads it. What needs the time is given a clock."""
    return datetime.now(UTC)
