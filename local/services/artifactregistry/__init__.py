"""Artifact Registry: repositories, the images in them, and the registry's HTTP API."""
