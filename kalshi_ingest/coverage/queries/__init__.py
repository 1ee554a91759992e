"""What the rules judge, read from the tables in a few statements per run, weather included. No judgement here."""
