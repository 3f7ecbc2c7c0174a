"""The whole loop on one machine, for people to look at: its stages, and made-up tweets for it."""
