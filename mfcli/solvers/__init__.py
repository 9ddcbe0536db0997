"""The ways to fit a factor model, one file each. What they share is in ``base``."""
