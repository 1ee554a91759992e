"""What differs between two runs of the same program by its nature, with the reason. Everything else has to agree."""

import re
from collections.abc import Mapping
from typing import Any

COLUMNS: Mapping[str, str] = {
    "fetched_at": "when this machine fetched the row",
    "updated_at": "when this machine wrote the row",
    "completed_at": "when this machine proved it",
    "listed_at": "when this machine read the lists",
    "retrieved_at": "when this machine fetched the report",
    "polled_at": "when this machine asked",
    "moved_at": "when this machine committed",
    "started_at": "when this machine began the run",
    "finished_at": "when this machine ended the run",
    "applied_at": "when this machine migrated",
    "duration_seconds": "how fast this machine is",
    "run_id": "a random number",
    "session": "a random number",
    "asked_by": "user, host and version of the program",
    "cursor": "the exchange's cursors are random",
    "commits": "how pages fall into transactions is up to timing",
}
"""Columns of tables and of Parquet files. That a value is NULL is compared nevertheless."""

OF_FOLLOWING: Mapping[str, str] = {
    "requests": "how often it looks is up to timing",
    "retries": "as above",
    "pages": "how trades fall into pages depends on when it looks",
    "walk": "a market that was seen in between is walked again",
    "open_interest": "only a run that met the market in the live tier knows it",
    "markets_fetched": "counts looks",
    "trades_fetched": "counts looks",
    "candles_1m": "a period is written again when a late trade belongs to it",
    "candles_5m": "as above",
    "details": "retries and warnings as they came, if any",
    "max_event_date": "the day on which it was told to stop, or met an obstacle",
}
"""The same, for a service that follows a running clock."""

ONCE_OF_FOLLOWING: Mapping[str, str] = {
    "public.ingestion_log": "the service adds a row for each day and after each obstacle that it meets",
}
"""Tables of such a service of which equal rows count once."""

NULL_OR_NOT = ("details",)
"""What is masked where it is NULL too."""

FIELDS: Mapping[str, str] = {
    **COLUMNS,
    "seconds": "how fast this machine is",
    "made_at": "when this machine made the report",
    "now": "this machine's clock",
    "checked_at": "this machine's clock",
    "generated_at": "this machine's clock",
}
"""Fields of `--json` outputs and of jsonb columns."""

FIELDS_OF_FOLLOWING: Mapping[str, str] = {
    **OF_FOLLOWING,
    "volume_24h_fp": "moves after settlement, and reads 0 in the historical tier",
    "open_interest_fp": "reads 0 in the historical tier",
}

TEXTS: Mapping[str, str] = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}": "ids of runs are random",
    r"20(?:2[6-9]|[3-9]\d)-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?": (
        "the worlds live in 2025; what is later is this machine's clock"
    ),
    r"\b\d+(?:\.\d+)? ?(?:ms|s|seconds)\b": "how fast this machine is",
    r"(?:\b[\d,]+ +)?\b\d+\.\d$": "last in a table: bytes, which depend on masked values, and seconds",
    r"^[0-9a-f]{8}\b": "the beginning of a run's id",
    r"\b\d+ days (?=after the event date)": "until today",
    r"\b\d+(?:[.,]\d+)*(?: [kMG]?B| bytes)\b": "sizes depend on values that are masked",
}
"""Patterns within texts."""

MASK = "~"
_TEXT = re.compile("|".join(f"(?:{pattern})" for pattern in TEXTS), re.MULTILINE)
_WIDTH = re.compile(r"(?<=  ) +|(?<=---)-+")
"""Columns are as wide as their widest value."""


def masked_text(text: str, known: Mapping[str, str]) -> str:
    """A text without what differs by nature; `known`: addresses and folders of this run → their names."""
    for found, name in sorted(known.items(), key=lambda each: -len(each[0])):
        text = text.replace(found, name)
    return _WIDTH.sub("", _TEXT.sub(MASK, text))


def masked_json(value: Any, fields: Mapping[str, str], known: Mapping[str, str]) -> Any:
    """A decoded JSON value without what differs by nature."""
    if isinstance(value, dict):
        return {
            masked_text(name, known): (
                MASK
                if name in fields and (each is not None or name in NULL_OR_NOT)
                else masked_json(each, fields, known)
            )
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [masked_json(each, fields, known) for each in value]
    return masked_text(value, known) if isinstance(value, str) else value
