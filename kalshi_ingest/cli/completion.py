"""`--install-completion`: the shell completes commands and options."""

import io
from pathlib import Path
from typing import Annotated, Literal

from cyclopts.completion.detect import ShellDetectionError
from rich.console import Console

from kalshi_ingest.cli.app import program
from kalshi_ingest.cli.common import say
from kalshi_ingest.cli.options import option
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE


def install_completion(
    *,
    shell: Annotated[Literal["bash", "zsh", "fish"] | None, option("default: the one that runs this")] = None,
    output: Annotated[Path | None, option("write it here instead, and leave the shell's own files alone")] = None,
) -> int:
    """Write the script where the shell reads it, and for bash and zsh a line in its start-up file."""
    whole = program(Console(file=io.StringIO()))
    try:
        path = whole.install_completion(shell=shell, output=output, add_to_startup=output is None)
    except ShellDetectionError:
        raise Unusable("cannot tell which shell this is: say --shell bash, zsh or fish") from None
    except OSError as error:
        raise Unusable(f"cannot write {error.filename}: {error.strerror}") from None
    say(f"wrote {path}; it works in the next shell that you start")
    return COMPLETE
