"""The address at which programs find Google Cloud: who calls, and which service responds."""
