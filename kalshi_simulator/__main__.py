"""The simulator as a program of its own."""

import sys

from kalshi_simulator.command import main

if __name__ == "__main__":
    sys.exit(main())
