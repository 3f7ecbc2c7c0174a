"""The whole loop on one machine, for people to watch: its stages, and its made-up tweets."""
