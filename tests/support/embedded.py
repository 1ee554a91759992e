"""An embedded server for the length of a block."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kalshi_ingest.postgres.embedded import server


@contextmanager
def running(
    data_dir: Path,
    *,
    version: int = server.DEFAULT_VERSION,
    keep: bool = False,
    options: Mapping[str, str] | None = None,
    bin_dir: Path | None = None,
) -> Iterator[server.EmbeddedServer]:
    """A running server for the length of a `with` block; `keep` leaves it running until `stop`."""
    hold = server.acquire(data_dir, version=version, keep=keep, options=options, bin_dir=bin_dir)
    try:
        yield hold.server
    finally:
        server.release(hold)
