"""`weather settlement`: the official daily maxima."""
