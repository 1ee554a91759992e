"""`python -m kalshi_ingest`."""

import sys

from kalshi_ingest.cli import main

sys.exit(main())
