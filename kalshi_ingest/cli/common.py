"""What every command shares: exit codes, dates, the database's address, signals, and the way results are printed."""

import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import structlog

from kalshi_ingest import terminal
from kalshi_ingest.cli.signals import current, stop_on_signals
from kalshi_ingest.errors import DatabaseAway, OutOfReach
from kalshi_ingest.exit_codes import INTERRUPTED
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.ingest.resources import Exchange
from kalshi_ingest.postgres.address import with_schema
from kalshi_ingest.postgres.embedded import server as embedded
from kalshi_ingest.settings import Settings

_LEAVE_SECONDS = 1.5
"""How long a stop waits for the embedded server to end. It ends by itself; the next start waits for that."""

log = structlog.get_logger()


def exchange_of(settings: Settings) -> Exchange:
    """How to reach the exchange, as the settings say."""
    return Exchange(
        settings.api_url,
        settings.api_key_id,
        settings.private_key_path,
        settings.requests_per_second,
        settings.workers,
    )


@contextmanager
def database_url(settings: Settings, *, keep: bool = False) -> Iterator[str]:
    """The configured database, else the embedded one, started for as long as it is needed; with the tables' schema."""
    if settings.database_url is not None:
        yield with_schema(settings.database_url.get_secret_value(), settings.database_schema)
        return
    with embedded_server(settings.data_dir, keep=keep) as server:
        yield with_schema(server.url, settings.database_schema)


@contextmanager
def embedded_server(data_dir: Path, *, keep: bool = False) -> Iterator[embedded.EmbeddedServer]:
    """The embedded server for a `with` block, at whose end a stop does not wait for it for long."""
    hold = embedded.acquire(data_dir, keep=keep)
    try:
        yield hold.server
    except DatabaseAway as error:
        if why := embedded.why_lost(hold):
            raise DatabaseAway(f"{error}; {why}") from error
        raise
    finally:
        stopping = current().asked
        try:
            embedded.release(hold, patience=_LEAVE_SECONDS if stopping else None)
        except OutOfReach as error:
            if not stopping:
                raise
            log.warning("embedded_server_stopping", reason=str(error))


def say(text: str, out: TextIO | None = None, *, painted: bool = False) -> None:
    """A result, to standard output unless given another stream; `painted`: with this program's own colours in it."""
    terminal.write(out or sys.stdout, terminal.safe(text, painted=painted) + "\n")


async def interruptible(work: Coroutine[Any, Any, int], notice: str = "") -> int:
    """The exit code of `work`; 130 when a signal came first, and `work` was cancelled."""
    code = await run_until(stop_on_signals(notice), work)
    return INTERRUPTED if code is None else code
