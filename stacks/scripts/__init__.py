"""Programs that the declared machines run: their text is part of the declaration."""
