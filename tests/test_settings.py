import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from kalshi_ingest.config_file import NAME, user_path
from kalshi_ingest.configuration import load_settings
from kalshi_ingest.errors import Unusable
from kalshi_ingest.settings import PREFIX, Settings


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting from outside, and an empty working directory."""
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def complaint(**overrides: object) -> str:
    with pytest.raises(Unusable) as caught:
        load_settings(overrides)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    settings = load_settings({})
    assert settings.api_url == "https://external-api.kalshi.com/trade-api/v2"
    assert settings.api_key_id is None
    assert settings.private_key_path is None
    assert settings.database_url is None
    assert settings.data_dir == Path.home() / ".kalshi-ingest"
    assert settings.requests_per_second is None
    assert settings.workers is None
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8780)
    assert (settings.log_format, settings.log_level) == ("auto", "info")


def test_root_keeps_its_data_where_another_account_can_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_settings({}).data_dir == Path("/var/lib/kalshi-ingest")


def test_an_account_without_a_home_gets_a_folder_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(Path, "home", no_home)
    assert load_settings({}).data_dir == Path("/var/lib/kalshi-ingest")


def test_every_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "API_URL": "http://localhost:8080/trade-api/v2/",
        "API_KEY_ID": "key-1\n",
        "PRIVATE_KEY_PATH": "~/k.pem",
        "DATABASE_URL": "postgresql://u:p@h/d",
        "DATABASE_SCHEMA": "kalshi",
        "DATA_DIR": "~/data",
        "REQUESTS_PER_SECOND": "2.5",
        "WORKERS": "3",
        "IEM_URL": "http://localhost:8080/iem/",
        "NCEI_URL": "http://localhost:8080/ncei",
        "VISUAL_CROSSING_URL": "http://localhost:8080/visualcrossing",
        "VISUAL_CROSSING_KEY": "vc-key",
        "HTTP_HOST": "0.0.0.0",
        "HTTP_PORT": "9000",
        "LOG_FORMAT": "JSON",
        "LOG_LEVEL": "Debug",
    }
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = load_settings({})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u:p@h/d"
    assert settings.visual_crossing_key is not None
    assert settings.visual_crossing_key.get_secret_value() == "vc-key"
    assert settings.model_dump(exclude={"database_url", "visual_crossing_key"}) == {
        "api_url": "http://localhost:8080/trade-api/v2",
        "api_key_id": "key-1",
        "private_key_path": Path.home() / "k.pem",
        "database_schema": "kalshi",
        "data_dir": Path.home() / "data",
        "requests_per_second": 2.5,
        "workers": 3,
        "iem_url": "http://localhost:8080/iem",
        "ncei_url": "http://localhost:8080/ncei",
        "visual_crossing_url": "http://localhost:8080/visualcrossing",
        "http_host": "0.0.0.0",
        "http_port": 9000,
        "log_format": "json",
        "log_level": "debug",
    }


def test_the_command_line_beats_the_environment_beats_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("KALSHI_INGEST_WORKERS=1\nKALSHI_INGEST_LOG_LEVEL=error\nPOSTGRES_PASSWORD=x\n")
    assert load_settings({}).workers == 1
    monkeypatch.setenv("KALSHI_INGEST_WORKERS", "2")
    assert load_settings({}).workers == 2
    assert load_settings({"workers": 3}).workers == 3
    assert load_settings({"workers": None}).workers == 2
    assert load_settings({}).log_level == "error"


def test_an_empty_variable_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_INGEST_API_KEY_ID", "")
    monkeypatch.setenv("KALSHI_INGEST_WORKERS", "")
    settings = load_settings({})
    assert settings.api_key_id is None
    assert settings.workers is None


def test_a_misspelt_name_is_refused_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_INGEST_WORKER", "s3cret")
    Path(".env").write_text("KALSHI_INGEST_LOGLEVEL=s3cret\nOTHER=1\n")
    assert complaint(wibble="s3cret").splitlines() == [
        "KALSHI_INGEST_LOGLEVEL: there is no such setting; did you mean KALSHI_INGEST_LOG_LEVEL?",
        "KALSHI_INGEST_WIBBLE: there is no such setting.",
        "KALSHI_INGEST_WORKER: there is no such setting; did you mean KALSHI_INGEST_WORKERS?",
    ]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("api_url", "external-api.kalshi.com/trade-api/v2", "http or https address that ends in /trade-api/v2"),
        ("api_url", "ftp://external-api.kalshi.com/trade-api/v2", "http or https"),
        ("api_url", "https:///trade-api/v2", "http or https"),
        ("api_url", "https://external-api.kalshi.com", "ends in /trade-api/v2"),
        ("api_url", "https://external-api.kalshi.com/trade-api/v2?key=s3cret", "ends in /trade-api/v2"),
        ("api_url", "https://h:s3cret/trade-api/v2", "ends in /trade-api/v2"),
        ("api_url", "https://[h/trade-api/v2", "ends in /trade-api/v2"),
        ("api_url", "https://me:s3cret@h/trade-api/v2", "user name or password"),
        ("database_url", "mysql://me:s3cret@h/d", "must start with postgresql:// or postgres://"),
        ("database_url", "host=h password=s3cret", "must start with postgresql://"),
        ("requests_per_second", "0", "greater than 0 (found '0')"),
        ("requests_per_second", "nan", "finite number (found 'nan')"),
        ("workers", "0", "greater than or equal to 1 (found '0')"),
        ("workers", "257", "less than or equal to 256 (found '257')"),
        ("workers", "many", "valid integer"),
        ("log_format", "xml", "'auto', 'json' or 'console' (found 'xml')"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error' (found 'loud')"),
    ],
)
@pytest.mark.parametrize("by_environment", [True, False])
def test_a_wrong_value_is_one_line_that_names_the_variable(
    field: str, value: str, says: str, by_environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = PREFIX + field.upper()
    if by_environment:
        monkeypatch.setenv(name, value)
    text = complaint() if by_environment else complaint(**{field: value})
    assert text.startswith(f"{name}: ")
    assert says in text
    assert "\n" not in text
    assert "s3cret" not in text


def test_several_wrong_settings_give_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_INGEST_WORKERS", "0")
    monkeypatch.setenv("KALSHI_INGEST_DATABASE_URL", "s3cret")
    monkeypatch.setenv("KALSHI_INGEST_LOG", "s3cret")
    lines = complaint().splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "KALSHI_INGEST_LOG",
        "KALSHI_INGEST_DATABASE_URL",
        "KALSHI_INGEST_WORKERS",
    ]
    assert "s3cret" not in "".join(lines)


def test_key_id_and_key_file_belong_together() -> None:
    assert complaint(api_key_id="k") == (
        "KALSHI_INGEST_API_KEY_ID is set but KALSHI_INGEST_PRIVATE_KEY_PATH is not: set both or neither."
    )
    assert complaint(private_key_path="k.pem").startswith("KALSHI_INGEST_PRIVATE_KEY_PATH is set but")
    assert load_settings({"api_key_id": "k", "private_key_path": "k.pem"}).private_key_path == Path("k.pem")


def test_a_file_that_is_no_text_is_a_clear_error() -> None:
    Path(".env").write_bytes(b"KALSHI_INGEST_WORKERS=\xff\n")
    assert complaint() == "The file .env in the working directory cannot be read: it is not UTF-8 text."


def test_no_secret_in_any_text_of_the_settings() -> None:
    settings = load_settings({"database_url": "postgresql://u:s3cret@h/d"})
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "s3cret" not in text
    assert "database_url" not in repr(settings)
    with pytest.raises(ValidationError) as caught:
        Settings(database_url=SecretStr("mysql://u:s3cret@h/d"))
    assert "s3cret" not in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    settings = load_settings({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.__setattr__("workers", 3)


def test_a_line_of_the_env_file_that_cannot_be_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("OTHER=1\nexport nothing here\nKALSHI_INGEST_WORKERS=3\n")
    assert "line 2" in complaint()
    assert capfd.readouterr().err == ""


def test_an_empty_option_is_refused() -> None:
    assert complaint(data_dir="") == "KALSHI_INGEST_DATA_DIR: is empty."


def test_a_file_that_begins_with_a_byte_order_mark_is_read_from_its_first_line() -> None:
    """Windows' editors write one; python-dotenv before 1.2.3 took it for a part of the first name."""
    Path(".env").write_bytes(b"\xef\xbb\xbfKALSHI_INGEST_WORKERS=7\r\nKALSHI_INGEST_HTTP_PORT=1234\r\n")
    settings = load_settings({})
    assert (settings.workers, settings.http_port) == (7, 1234)


def own_file(text: str) -> None:
    """The user's configuration file."""
    path = user_path()
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_configuration_file_weighs_less_than_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    own_file("workers = 1\nhttp_port = 1\nlog_level = 'debug'\ndatabase_schema = 'own'\nrequests_per_second = 2.5\n")
    Path(NAME).write_text("workers = 2\nhttp-port = 2\nLOG_LEVEL = 'error'\ndatabase_schema = 'here'\n")
    Path(".env").write_text("KALSHI_INGEST_WORKERS=3\nKALSHI_INGEST_HTTP_PORT=3\nKALSHI_INGEST_LOG_LEVEL=\n")
    monkeypatch.setenv("KALSHI_INGEST_WORKERS", "4")
    settings = load_settings({"database_schema": "given"})
    assert (settings.workers, settings.http_port, settings.log_level) == (4, 3, "error")
    assert (settings.database_schema, settings.requests_per_second) == ("given", 2.5)


def test_an_unknown_name_in_a_configuration_file_is_named_with_the_nearest() -> None:
    Path(NAME).write_text("worker = 's3cret'\nwibble = 's3cret'\n")
    assert complaint().splitlines() == [
        f"The configuration file {NAME}: there is no setting wibble.",
        f"The configuration file {NAME}: there is no setting worker; did you mean workers?",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workers = 's3cret'", f"KALSHI_INGEST_WORKERS in {NAME}: input should be a valid integer"),
        ("database_url = 's3cret'", f"KALSHI_INGEST_DATABASE_URL in {NAME}: must start with postgresql://"),
        ("workers = true", "workers must be a text or a number"),
        ("[settings]\nworkers = 1", "settings must be a text or a number"),
        ("workers = 3\ndatabase_url = s3cret", 'cannot be read at line 2, column 16: write name = "value"'),
        ("api_key_id = 's3cret'", "KALSHI_INGEST_API_KEY_ID is set but KALSHI_INGEST_PRIVATE_KEY_PATH is not"),
    ],
)
def test_a_wrong_configuration_file_is_one_line_that_names_it(text: str, says: str) -> None:
    Path(NAME).write_text(text)
    told = complaint()
    assert says in told
    assert "\n" not in told
    assert "s3cret" not in told.replace("(found 's3cret')", "")


def test_a_configuration_file_that_cannot_be_read() -> None:
    Path(NAME).write_bytes(b"workers = 1 # \xff")
    assert complaint() == f"The configuration file {NAME} cannot be read: it is not UTF-8 text."
    Path(NAME).unlink()
    Path(NAME).mkdir()
    assert complaint() == f"The configuration file {NAME} cannot be read: Is a directory."


def test_where_the_users_own_file_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/kalshi-ingest") / NAME
    monkeypatch.setattr(Path, "home", lambda: Path("/me"))
    monkeypatch.setattr("sys.platform", "linux")
    assert user_path({"XDG_CONFIG_HOME": "relative"}) == Path("/me/.config/kalshi-ingest") / NAME
    monkeypatch.setattr("sys.platform", "darwin")
    assert user_path({}) == Path("/me/Library/Application Support/kalshi-ingest") / NAME


def test_an_account_without_a_home_has_no_file_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert user_path({}) is None
