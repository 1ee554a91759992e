"""`coverage`: read what is held, judge it, and, when asked to, fetch what is missing."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from kalshi_ingest.coverage.queries.distrust import forget
from kalshi_ingest.coverage.queries.evidence import read
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.findings import Level, Remedy, Report
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.errors import Unusable
from kalshi_ingest.files import created
from kalshi_ingest.postgres.database import LONG, Database


async def examine(url: str, scope: Scope) -> Report:
    """What should exist against what is held, in one snapshot of the database."""
    found = await read(url, scope.series, scope.start, scope.end)
    return await asyncio.to_thread(judge, found, scope)


async def forget_distrusted(database: Database, report: Report) -> None:
    """Delete the proof of each market whose rows contradict it. Raises `Unusable` while another run works on it."""
    tickers = report.refetch_tickers
    holes = [hole for hole in report.at(Level.HOLE) if hole.remedy is Remedy.REFETCH]
    await database.locks.take_series({hole.series_ticker for hole in holes}, then="check again when it has ended")
    await database.run(forget, tickers, longest=LONG)


def nothing_to_judge(report: Report, *, named: bool) -> str:
    """The named series, or `any series`, without any event date to judge, which must not pass for complete."""
    idle = [judged.subject.label for judged in report.series if not judged.days]
    if not report.complete or (not named and len(idle) < len(report.series)):
        return ""
    return ", ".join(idle) if named else "any series"


def page_path(text: str) -> Path:
    """Where the page goes. Raises `Unusable` when no file can be written there."""
    path = Path(text)
    try:
        if not path.name or (path.exists() and not path.is_file()):
            raise Unusable(f"cannot write {text!r}: --html names a file")
        created(_aside(path)).close()
        _aside(path).unlink()
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def write_page(html: str, path: Path) -> None:
    """The page, whole or not at all. Raises `Unusable` when the file cannot be written."""
    aside = _aside(path)
    try:
        with created(aside) as file:
            file.write(html.encode())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _unwritable(path: Path, error: OSError) -> Unusable:
    return Unusable(f"cannot write {path}: {error.strerror}")


def series_in(report: Report) -> Sequence[str]:
    return [judged.subject.series_ticker for judged in report.series]
