"""Mutation testing: changes the code in small ways, and sees whether a test fails."""
