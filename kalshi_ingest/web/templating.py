"""The pages' templates: everything put into them is escaped, and each page is one file that needs nothing else."""

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from kalshi_ingest.domain.words import counted
from kalshi_ingest.web import formatting
from kalshi_ingest.web.view import name_of

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
_FILTERS: dict[str, Callable[..., object]] = {
    "bin_name": formatting.bin_name,
    "capital": formatting.capital,
    "cents": formatting.cents,
    "counted": counted,
    "name_of": name_of,
    "outcome": formatting.outcome,
    "plain": formatting.plain,
    "shortened": formatting.shortened,
    "weekday": formatting.weekday,
}


class Templates:
    """Compiled when they are first used, and kept as long as this object. Style sheet and script are put inline."""

    def __init__(self) -> None:
        engine = import_module("jinja2")  # here, so that only who shows a page waits for it
        self._environment: Environment = engine.Environment(
            loader=engine.FileSystemLoader([_HERE / "templates", _HERE / "static"]),
            autoescape=True,
            undefined=engine.StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= _FILTERS

    def render(self, name: str, **shown: object) -> str:
        """The page `<name>.html.jinja`. Raises `jinja2.UndefinedError` when it asks for what is not in `shown`."""
        return self._environment.get_template(f"{name}.html.jinja").render(shown)

    def script_source(self) -> str:
        """What the content security policy has to name for the one script of the pages to run."""
        script = self._environment.get_template("status.js").render()
        return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
