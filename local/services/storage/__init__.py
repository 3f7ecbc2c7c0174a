"""Cloud Storage: buckets, objects, managed folders and notifications."""
