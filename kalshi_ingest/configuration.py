"""Reads the settings: from the command line, the environment, `.env` and configuration files, in that order.

`load_settings` is the way in. It refuses what `Settings` alone would pass over in silence, a misspelt name, and
says what is wrong in words that never repeat a secret.
"""

import difflib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import DotEnvSettingsSource

from kalshi_ingest.config_file import ConfigFile, config_files
from kalshi_ingest.errors import Unusable
from kalshi_ingest.settings import ENV_FILE, PREFIX, Settings

_ECHOED = frozenset({"requests_per_second", "workers", "log_format", "log_level"})
"""Settings whose wrong value is shown to the user. Any other may hold a secret, if only by mistake."""


def load_settings(overrides: Mapping[str, object]) -> Settings:
    """The settings from, in rising order of weight: configuration files, `.env`, the environment, `overrides`.

    `overrides` are the command line's options by field name; None means not given. Raises Unusable with one line
    per wrong setting, each naming its environment variable; a value is repeated only where it can be no secret.
    """
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    try:
        with _unreadable_lines() as unreadable:
            in_env_file = DotEnvSettingsSource(Settings).env_vars
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"The file {ENV_FILE} in the working directory cannot be read: {_reason(error)}.") from None
    if unreadable:
        lines = ", ".join(str(line) for line in unreadable)
        raise Unusable(
            f"The file {ENV_FILE} in the working directory cannot be read from line {lines} on: write NAME=value."
        )
    problems = [f"{PREFIX}{name.upper()}: is empty." for name, value in given.items() if value == ""]
    problems += _misspelt([*os.environ, *in_env_file, *(PREFIX + name for name in given)])
    stronger = {name.upper() for each in (os.environ, in_env_file) for name, value in each.items() if value}
    origin: dict[str, Path] = {}
    for file in config_files():
        problems += _unknown(file)
        for name, value in file.values.items():
            if name not in given and PREFIX + name.upper() not in stronger:
                given[name], origin[name] = value, file.path
    settings = None
    try:
        settings = Settings(**{name: value for name, value in given.items() if name in Settings.model_fields})
    except ValidationError as error:
        problems += _complaints(error, origin)
    if settings is None or problems:
        raise Unusable("\n".join(problems))
    return settings


@contextmanager
def _unreadable_lines() -> Iterator[list[int]]:
    """Numbers of lines that python-dotenv cannot read: it only tells a log, and that is not set up yet."""
    found: list[int] = []

    def keep(record: logging.LogRecord) -> bool:
        found.extend(each for each in (record.args or ()) if isinstance(each, int))
        return False

    parser = logging.getLogger("dotenv.main")
    parser.addFilter(keep)
    try:
        yield found
    finally:
        parser.removeFilter(keep)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "unknown error" if isinstance(error, OSError) else "it is not UTF-8 text"


def _misspelt(names: Iterable[str]) -> list[str]:
    """A line for each name that carries the prefix but is no setting."""
    settings = [PREFIX + field.upper() for field in Settings.model_fields]
    lines = []
    for name in sorted({name.upper() for name in names}):
        if name.startswith(PREFIX) and name not in settings:
            close = difflib.get_close_matches(name, settings, n=1, cutoff=0.8)
            lines.append(f"{name}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "."))
    return lines


def _unknown(file: ConfigFile) -> list[str]:
    """A line for each name in a configuration file that is no setting."""
    lines = []
    for name in sorted(file.values.keys() - Settings.model_fields.keys()):
        close = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.6)
        told = f"; did you mean {close[0]}?" if close else "."
        lines.append(f"The configuration file {file.path}: there is no setting {name}{told}")
    return lines


def _complaints(error: ValidationError, origin: Mapping[str, Path]) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            lines.append(message + ".")
            continue
        field = str(problem["loc"][0])
        found = f" (found {str(problem['input'])[:40]!r})" if field in _ECHOED else ""
        where = f" in {origin[field]}" if field in origin else ""
        lines.append(f"{PREFIX}{field.upper()}{where}: {message[:1].lower()}{message[1:]}{found}.")
    return lines
