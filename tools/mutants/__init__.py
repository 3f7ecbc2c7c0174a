"""Measures what the tests notice: changes the code in small ways and sees whether a test fails."""
