"""Every setting of the program, read once, in `cli`: from the environment, from `.env`, from the command line.

`load_settings` is the way in. It refuses what `Settings` alone would pass over in silence, a misspelt name, and
says what is wrong in words that never repeat a secret.
"""

import difflib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from kalshi_ingest.errors import Unusable

PREFIX = "KALSHI_INGEST_"
ENV_FILE = ".env"
API_PATH = "/trade-api/v2"
PUBLIC = "public"
"""The schema of the markets' tables, unless the user names another."""

_SCHEMA_NAME = re.compile(r"(?!pg_|wx\Z|information_schema\Z)[a-z_][a-z0-9_]{0,62}")


def _default_data_dir() -> Path:
    """PostgreSQL refuses to run as root, and the account it then uses cannot enter root's home."""
    system_wide = Path("/var/lib/kalshi-ingest")
    if os.geteuid() == 0:
        return system_wide
    try:
        return Path.home() / ".kalshi-ingest"
    except RuntimeError:  # a container's account without a home
        return system_wide


def is_schema_name(name: str) -> bool:
    """Whether the tables may lie in a schema of that name: anybody can write it without quotes."""
    return _SCHEMA_NAME.fullmatch(name) is not None


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """The program's settings. Frozen: whoever holds one can trust it not to change."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",  # .env may hold other programs' variables; `load_settings` looks for misspelt names
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    api_url: str = Field(
        default="https://external-api.kalshi.com" + API_PATH,
        description="Kalshi's API: an http or https address that ends in /trade-api/v2, because that path is part"
        " of what is signed. Default: https://external-api.kalshi.com/trade-api/v2.",
    )
    api_key_id: str | None = Field(
        default=None,
        description="Id of the Kalshi API key, for the account's own request limit; needs PRIVATE_KEY_PATH too."
        " Default: none, requests are anonymous.",
    )
    private_key_path: Path | None = Field(
        default=None,
        description="File with the RSA private key (PEM) that belongs to API_KEY_ID. Default: none.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        repr=False,
        description="PostgreSQL to write to, postgresql://user:password@host:5432/name."
        " With a password, set it in the environment or .env: other users of the machine can read command lines."
        " Default: none, an embedded PostgreSQL in DATA_DIR starts by itself.",
    )
    database_schema: str = Field(
        default=PUBLIC,
        description="Schema of the markets' tables in that database: lower-case letters, digits and _; `migrate` makes"
        " it where it is missing. The weather's tables are always in the schema wx. Default: public.",
    )
    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Folder of the embedded PostgreSQL."
        " Default: ~/.kalshi-ingest, or /var/lib/kalshi-ingest when run as root.",
    )
    requests_per_second: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Pace, in requests per second of the default cost (10 tokens)."
        " Default: the account's own limit, or 5 without a key.",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Requests under way at the same time, 1 to 256. Default: chosen from the pace.",
    )
    iem_url: str = Field(
        default="https://mesonet.agron.iastate.edu",
        description="Iowa Environmental Mesonet, for climate reports and free minute weather."
        " Default: https://mesonet.agron.iastate.edu.",
    )
    ncei_url: str = Field(
        default="https://www.ncei.noaa.gov",
        description="NOAA's NCEI, for GHCN-Daily. Default: https://www.ncei.noaa.gov.",
    )
    visual_crossing_url: str = Field(
        default="https://weather.visualcrossing.com",
        description="Visual Crossing, for minute weather. Default: https://weather.visualcrossing.com.",
    )
    visual_crossing_key: SecretStr | None = Field(
        default=None,
        repr=False,
        description="Visual Crossing's API key."
        " Default: none, minute weather comes from the Iowa Environmental Mesonet.",
    )
    http_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address on which `follow` serves its health, metrics and status page. Default: 127.0.0.1, this"
        " machine only.",
    )
    http_port: int = Field(
        default=8780,
        ge=0,
        le=65535,
        description="Its port, 0 for a free one. Default: 8780.",
    )
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)] = Field(
        default="auto",
        description="json: one object per line; console: coloured text; auto: console on a terminal, else json."
        " Default: auto.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info",
        description="Least severe log level shown: debug, info, warning or error. Default: info.",
    )

    @field_validator("api_url")
    @classmethod
    def _is_api_url(cls, value: str) -> str:
        value = value.rstrip("/")
        wrong = f"must be an http or https address that ends in {API_PATH}"
        try:
            url = urlsplit(value)
            port = url.port
        except ValueError:  # its own text would repeat part of the address
            raise ValueError(wrong) from None
        if url.scheme not in ("http", "https") or not url.hostname or port == 0 or url.query or url.fragment:
            raise ValueError(wrong)
        if not url.path.endswith(API_PATH):
            raise ValueError(wrong)
        if "@" in url.netloc:
            raise ValueError("must not carry a user name or password")
        return value

    @field_validator("iem_url", "ncei_url", "visual_crossing_url")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        value = value.rstrip("/")
        wrong = "must be an http or https address without query, user name or password"
        try:
            url = urlsplit(value)
            port = url.port
        except ValueError:  # its own text would repeat part of the address
            raise ValueError(wrong) from None
        plain = not (url.query or url.fragment or "@" in url.netloc)
        if url.scheme not in ("http", "https") or not url.hostname or port == 0 or not plain:
            raise ValueError(wrong)
        return value

    @field_validator("private_key_path", "data_dir")
    @classmethod
    def _at_home(cls, value: Path | None) -> Path | None:
        try:
            return None if value is None else value.expanduser()
        except RuntimeError:
            raise ValueError("begins with ~, but that account has no home folder here") from None

    @field_validator("database_url")
    @classmethod
    def _is_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value().strip()
        if not text.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql:// or postgres://")
        return SecretStr(text)

    @field_validator("database_schema")
    @classmethod
    def _is_schema_name(cls, value: str) -> str:
        if not is_schema_name(value):
            raise ValueError("must be lower-case letters, digits and _, and neither wx nor one of PostgreSQL's own")
        return value

    @model_validator(mode="after")
    def _key_and_id_together(self) -> Self:
        if (self.api_key_id is None) != (self.private_key_path is None):
            alone, missing = "API_KEY_ID", "PRIVATE_KEY_PATH"
            if self.api_key_id is None:
                alone, missing = missing, alone
            raise ValueError(f"{PREFIX}{alone} is set but {PREFIX}{missing} is not: set both or neither")
        return self


_ECHOED = frozenset({"requests_per_second", "workers", "log_format", "log_level"})
"""Settings whose wrong value is shown to the user. Any other may hold a secret, if only by mistake."""


def load_settings(overrides: Mapping[str, object]) -> Settings:
    """The settings from, in rising order of weight: defaults, `.env`, the environment, `overrides`.

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
    settings = None
    try:
        settings = Settings(**{name: value for name, value in given.items() if name in Settings.model_fields})
    except ValidationError as error:
        problems += _complaints(error)
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


def _complaints(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            lines.append(message + ".")
            continue
        field = str(problem["loc"][0])
        found = f" (found {str(problem['input'])[:40]!r})" if field in _ECHOED else ""
        lines.append(f"{PREFIX}{field.upper()}: {message[:1].lower()}{message[1:]}{found}.")
    return lines
