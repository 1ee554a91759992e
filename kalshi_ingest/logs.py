"""Log lines: JSON for machines, coloured text for a terminal, secrets masked in both.

Logs go to standard error, results to standard output, so that a pipe gets results only. This program's own events
come through structlog; what libraries say through `logging` takes the same way from level warning on.
"""

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kalshi_ingest import terminal
from kalshi_ingest.terminal import Stream

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

MASK = "***"

_LONGEST = 20_000
"""Characters kept of one value: a log line must not carry a whole answer of the exchange."""
_DEEPEST = 5
"""Levels of nested values that are kept as such; below, they become text."""

_GUARDED = r"(?:\w*(?:password|passwd|secret|token|api_?key|(?:secret|access|crossing)_key)|key)"
"""Names whose values are secrets: in queries, in connection strings, as fields of an event."""
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A private key, also one that is cut short.
    (
        re.compile(r"(-----BEGIN [A-Z0-9 ]+-----).*?(-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL),
        rf"\1{MASK}\2",
    ),
    # The password of a URL, up to its last @, for a password may hold an unescaped one, or a slash. Digits up to a
    # slash are a port.
    (re.compile(r"(?<=://)([^\s:/@\[]*):(?![0-9]{1,5}(?:[/,\s]|$|[?#][^\s@]*(?:\s|$)))[^\s]*@"), rf"\1:{MASK}@"),
    # The exchange's three headers, in the text of any mapping or request.
    (
        re.compile(r"(KALSHI-ACCESS-[A-Z]+['\"]?\s*[:=,]\s*b?['\"]?)[^'\"\s,;)}\]]+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (re.compile(r"(Authorization['\"]?\s*[:=,]\s*['\"]?\w+ )[^'\"\s,;)}\]]+", re.IGNORECASE), rf"\1{MASK}"),
    # password=… in a query or a connection string, quoted or not; a quote before a letter is part of the value.
    (
        re.compile(
            rf"\b({_GUARDED}\s?=\s?)(?:'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?|(?:[^&\s'\"#]|['\"](?=\w))+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # A parameter whose name is percent-encoded, as no honest one is; unbounded, a long text would take long.
    (re.compile(r"([?&][\w%]{0,200}%[0-9A-Fa-f]{2}[\w%]{0,200}=)[^&\s'\"]+"), rf"\1{MASK}"),
    # 'password': '…' in the text of a mapping.
    (re.compile(rf"(['\"]{_GUARDED}['\"]\s*[:,]\s*b?(['\"]))(?:\\.|(?!\2).)*", re.IGNORECASE), rf"\1{MASK}"),
)
_SECRET_FIELD = re.compile(rf"{_GUARDED}|KALSHI-ACCESS-.*|authorization|private_key|dsn", re.IGNORECASE)


def configure(format: LogFormat = "auto", level: LogLevel = "info", stream: Stream | None = None) -> None:
    """Send this program's events from `level` on, and the libraries' from warning on, to `stream`.

    None is standard error. `auto` is console on a terminal, else json. Calling it again replaces what was set.
    """
    out: Stream = _CurrentStderr() if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = format == "json" or (format == "auto" and not out.isatty())
    rendering: list[Processor] = [_as_json] if as_json else [_without_escapes, _for_a_person(terminal.colours(out))]
    ending: list[Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        mask_secrets,
        *rendering,
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Lines(out),
        cache_logger_on_first_use=False,
    )
    handler = _LibraryHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    for earlier in [h for h in root.handlers if isinstance(h, _LibraryHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(max(logging.WARNING, number))


def redact(text: str) -> str:
    """`text` with every secret in it masked.

    Masked are passwords in URLs and connection strings, values of `key=`, `api_key=`, `token=` and the like, the
    values of `KALSHI-ACCESS-*` and `Authorization` headers, and the inside of PEM blocks.
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """structlog processor: every value becomes plain data without secrets, however deep it lies."""
    return {name: _plain(value, name) for name, value in event.items()}


def _plain(value: object, name: str = "", depth: int = 0) -> Any:
    """`value` as JSON can carry it: numbers as they are, containers kept, all else as masked text."""
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):
        return value
    if _SECRET_FIELD.fullmatch(name):
        return MASK
    if isinstance(value, int | Decimal | date | UUID):
        return str(value)
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {redact(str(key)): _plain(each, str(key), depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str):
            return [redact(value[0]), _plain(value[1], value[0], depth + 1)]  # perhaps a header or a parameter
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(each, name, depth + 1) for each in value]
    text = value if isinstance(value, str) else _text(value)
    if len(text) > _LONGEST:
        # Masked first: a cut through the middle of a secret would leave a half that no rule knows.
        text = redact(text[: 2 * _LONGEST])[:_LONGEST] + "…"
    return redact(text).encode("utf-8", "replace").decode()


def _text(value: object) -> str:
    """An exception with its type; bytes as text; anything else as it shows itself, if it can."""
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    try:
        return repr(value) if isinstance(value, BaseException) else str(value)
    except Exception as error:
        return f"<{type(value).__name__} that fails to show itself: {type(error).__name__}>"


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {"timestamp": event.pop("timestamp", None), "level": event.pop("level", None)}
    return terminal.safe(orjson.dumps({**first, "event": event.pop("event", None), **event}).decode())


def _for_a_person(colours: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


def _without_escapes(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Nothing in a field obeys the terminal or looks like a line of its own; only a traceback has lines."""
    return {
        terminal.safe_line(name): _one_line(value, lines=name in ("exception", "stack"))
        for name, value in event.items()
    }


def _one_line(value: object, *, lines: bool) -> object:
    """Text made safe; containers are shown by `repr`, which escapes by itself."""
    if not isinstance(value, str):
        return value
    return terminal.safe(value) if lines else terminal.safe_line(value)


class _LibraryHandler(logging.StreamHandler[Stream]):
    """The one handler that `configure` puts on the root logger; its type distinguishes it from others'."""


class _Lines:
    """The innermost logger: each message is one line, written in one call.

    A log that is no longer read, or a full disk under it, does not end the work that it reports.
    """

    def __init__(self, out: Stream) -> None:
        self._out = out

    def line(self, message: str) -> None:
        with suppress(OSError, ValueError):  # the latter: a stream that was closed
            self._out.write(message + "\n")
            self._out.flush()

    debug = info = warning = error = critical = line


class _CurrentStderr:
    """Standard error as it is at the moment of writing.

    A live progress display swaps `sys.stderr` so that lines do not run through it; a reference taken once at the
    start would write past the swap.
    """

    def write(self, text: str, /) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()
