"""Archives of the predecessor, read as if they were today's."""
