"""Secret Manager: secrets and their versions."""
