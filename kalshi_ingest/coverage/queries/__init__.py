"""What the rules judge, read from the tables."""
