"""What the programs share: object names, documents, storage, and the rules for text."""

__version__ = "0.2.0"
