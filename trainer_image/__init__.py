"""One program: trains a model for each account and makes it live if it is good enough."""
