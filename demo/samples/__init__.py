"""Made-up tweets, an archive of them, and a base model that is small enough to train anywhere."""
