"""What the images share: the layout of the buckets, their documents, and the rules for text."""

__version__ = "0.2.0"
