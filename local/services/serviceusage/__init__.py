"""Service Usage: the APIs that a project has enabled."""
