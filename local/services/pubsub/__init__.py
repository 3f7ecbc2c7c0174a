"""Pub/Sub: topics, and the delivery of messages."""
