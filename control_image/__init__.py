"""What runs the pipeline: watches it, and has made what it needs."""
