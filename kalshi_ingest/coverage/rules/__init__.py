"""The rules by which held rows are judged. Pure: they read no clock and no database."""
