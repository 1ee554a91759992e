"""Settings in configuration files: `kalshi-ingest.toml` in the working directory, then the user's own."""

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kalshi_ingest.errors import Unusable

NAME = "kalshi-ingest.toml"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file and what it says, as texts by lower-case name with underscores."""

    path: Path
    values: dict[str, str]


def config_files(environment: Mapping[str, str] = os.environ) -> list[ConfigFile]:
    """Those that exist, the one that weighs most first. Raises `Unusable` for one that cannot be read.

    No message repeats a value: it may be a secret.
    """
    return [ConfigFile(path, _values(path, text)) for path in _paths(environment) if (text := _text(path)) is not None]


def user_path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The user's own file; None for an account without a home."""
    chosen = environment.get("XDG_CONFIG_HOME", "")
    try:
        if Path(chosen).is_absolute():
            folder = Path(chosen)
        elif sys.platform == "darwin":
            folder = Path.home() / "Library/Application Support"
        else:
            folder = Path.home() / ".config"
    except RuntimeError:
        return None
    return folder / "kalshi-ingest" / NAME


def _paths(environment: Mapping[str, str]) -> Iterator[Path]:
    yield Path(NAME)
    if (path := user_path(environment)) is not None:
        yield path


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        if not os.access(path.parent, os.X_OK):  # the home of another account, as for a service
            return None
        reason = error.strerror or "permission denied"
    except OSError as error:
        reason = error.strerror or "unknown error"
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    raise Unusable(f"The configuration file {path} cannot be read: {reason}.")


def _values(path: Path, text: str) -> dict[str, str]:
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\((at [^()]+)\)\Z", str(error))
        where = f" {place[1]}" if place else ""
        raise Unusable(f'The configuration file {path} cannot be read{where}: write name = "value".') from None
    for name, value in read.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Unusable(f"The configuration file {path}: {name} must be a text or a number.")
    return {name.lower().replace("-", "_"): str(value) for name, value in read.items() if value != ""}
