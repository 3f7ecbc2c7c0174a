"""Commands that stand in for those of Google, Docker and systemd, one file each."""
