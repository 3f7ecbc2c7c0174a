"""The whole loop on one machine, for people to watch, with made-up tweets."""
