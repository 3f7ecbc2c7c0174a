"""The program that collects one account's timeline."""
