"""Made-up tweets, an account archive of them, and a base model small enough to train here."""
