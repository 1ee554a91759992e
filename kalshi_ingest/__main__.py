"""The program. Signals are heard from its first moment on, before the rest of it is loaded."""

import importlib
import signal
import sys
from types import ModuleType

_INTERRUPTED = 130


def main() -> int:
    """Run the command line; its exit code."""
    # As process 1 of a container a program without a handler is passed over by SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cli: ModuleType = importlib.import_module("kalshi_ingest.cli")
        code: int = cli.main()
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
