"""The bot's program: writes a tweet with the live model and posts it, once per slot."""
