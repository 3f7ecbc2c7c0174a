"""The trainer: trains a model for each account and makes it live if it passes the gate."""
