"""What the images share: the layout of the buckets, their documents, and the rules for text."""
