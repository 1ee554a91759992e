"""What every job works with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kalshi_ingest.exchange.api import Api
from kalshi_ingest.postgres.database import Database


@dataclass(frozen=True, slots=True)
class RunContext:
    """Opened and closed by whoever runs the job."""

    api: Api
    writing: Database
    """Holds the run's locks and takes the trades."""
    planning: Database
    """Takes series, events, markets and the log, so that a long list never holds up trades."""
    clock: Callable[[], datetime]
    workers: int
