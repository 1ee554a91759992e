"""The weather services, one module each, and what they share."""
