"""`weather minutes`: observations by the minute, climate day by climate day."""
