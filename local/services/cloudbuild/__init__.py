"""Cloud Build: triggers that listen to Pub/Sub topics, and the builds that they start."""
