"""Compute Engine: networks, instance templates, and instances that boot from user-data."""
