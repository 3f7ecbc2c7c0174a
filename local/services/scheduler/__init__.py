"""Cloud Scheduler: jobs that fire by their own time zone's clock."""
