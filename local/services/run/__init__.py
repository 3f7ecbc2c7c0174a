"""Cloud Run: jobs with their executions, and services with their instances."""
