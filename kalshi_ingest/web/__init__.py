"""The service as others see it over HTTP: alive, ready, measured, and a page for a person. Read-only."""
