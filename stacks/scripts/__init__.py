"""Scripts that the declared machines and builds run. Their text is part of the declaration."""
