"""`weather grid`: one row per station and minute."""
