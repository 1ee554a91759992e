"""The statements of `status`."""
