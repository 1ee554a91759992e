"""What a backfill says at its end: the counts, everything that is not as it should be, and one last line."""

from collections.abc import Sequence

from kalshi_ingest.domain.checkpoint import Verdict
from kalshi_ingest.ingest.progress import SeriesProgress
from kalshi_ingest.text_table import table

_LISTED = 20
_HEADER = (
    "series",
    "markets",
    "exact",
    "inexact",
    "open",
    "failed",
    "left",
    "new trades",
    "new 1m",
    "new 5m",
    "requests",
)
_BLEMISHES = frozenset({"inexact", "open", "failed", "left"})


def is_complete(progress: Sequence[SeriesProgress], *, open_allowed: bool = False) -> bool:
    """Whether every market asked for is proved complete. A verdict other than exact is a warning, not a hole.

    `open_allowed`: nor is a market that has not settled yet.
    """
    return all(
        each.listed and not each.failed and each.complete + open_allowed * each.open == each.markets
        for each in progress
    )


def summary(
    progress: Sequence[SeriesProgress], *, seconds: float, interrupted: bool, open_allowed: bool = False
) -> str:
    """The text for a person."""
    rows = [
        (
            each.wanted.label,
            each.markets,
            each.verdicts[Verdict.EXACT],
            each.complete - each.verdicts[Verdict.EXACT],
            each.open,
            len(each.failed),
            max(0, each.markets - each.done),
            each.stats.trades,
            each.stats.candles_1m,
            each.stats.candles_5m,
            each.stats.tally.requests,
        )
        for each in progress
    ]
    sums = [sum(int(row[column]) for row in rows) for column in range(1, len(_HEADER))]
    parts = [table(_HEADER, rows, total=("total", *sums), optional=_BLEMISHES)]
    parts += _listed("warnings", [warning for each in progress for warning in each.warnings])
    failed = [f"{what}: {reason}" for each in progress for what, reason in each.failed.items()]
    parts += _listed("failed" if _hopeless(progress) else "failed (run the command again to retry)", failed)
    parts.append("\n" + _last_line(progress, seconds, interrupted, open_allowed))
    return "\n".join(parts)


def _hopeless(progress: Sequence[SeriesProgress]) -> bool:
    """Whether the same command could bring nothing more: what is incomplete is not to be had."""
    return all(each.absent or is_complete([each]) for each in progress)


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    shown = [f"  {line}" for line in lines[:_LISTED]]
    more = len(lines) - _LISTED
    return [f"\n{title}:", *shown, *([f"  and {more} more: see the checkpoints table"] if more > 0 else [])]


def _last_line(progress: Sequence[SeriesProgress], seconds: float, interrupted: bool, open_allowed: bool) -> str:
    trades = sum(each.stats.trades for each in progress)
    took = f"in {duration(seconds)}"
    if interrupted:
        return f"Interrupted {took}; everything shown is stored. Run the same command again to resume."
    waiting = sum(each.open for each in progress)
    if is_complete(progress, open_allowed=open_allowed):
        proved = sum(each.complete for each in progress)
        inexact = proved - sum(each.verdicts[Verdict.EXACT] for each in progress)
        but = f" ({inexact:,} inexact)" if inexact else ""
        note = f" {waiting:,} markets have not settled yet: a later run completes them." if waiting else ""
        return f"Complete: {proved:,} markets proved complete{but}, {trades:,} new trades {took}.{note}"
    failed = sum(len(each.failed) for each in progress)
    reasons = [f"{failed:,} failed"] if failed else []
    reasons += [f"{waiting:,} markets have not settled yet"] if waiting else []
    unlisted = [each.wanted.label for each in progress if not each.listed]
    reasons += [f"the list of {', '.join(unlisted)} is incomplete"] if unlisted else []
    said = f"Incomplete {took}: {'; '.join(reasons) or 'not every market is proved'}."
    if _hopeless(progress):
        return f"{said} Asking again changes nothing: check --start and --end."
    return f"{said} Run the same command again later."


def duration(seconds: float) -> str:
    """`9.5 s`, `4 min 6 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
