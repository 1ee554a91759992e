"""The program. Signals are heard from its first moment on, before the rest of it is loaded."""

import importlib
import signal
import sys
from types import FrameType, ModuleType

from kalshi_ingest.exit_codes import INTERRUPTED


class _Loading:
    """Hears signals until a command handles them: as process 1 of a container a program without a handler is passed
    over by SIGTERM. A module must not be broken off while it is loaded: Python may then end in any way."""

    def __init__(self) -> None:
        self.over = False
        self.asked = False

    def heard(self, _: int, __: FrameType | None) -> None:
        """The handler of both signals."""
        self.asked = True
        if self.over:
            sys.exit(INTERRUPTED)


def main() -> int:
    """Run the command line; its exit code."""
    loading = _Loading()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, loading.heard)
    cli: ModuleType = importlib.import_module("kalshi_ingest.cli")
    loading.over = True
    if loading.asked:
        return INTERRUPTED
    code: int = cli.main()
    return code


if __name__ == "__main__":
    sys.exit(main())
