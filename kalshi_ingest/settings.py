"""Every setting of the program and what is a valid value; `configuration` reads them."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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
        extra="ignore",  # .env may hold other programs' variables; `configuration` looks for misspelt names
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
