"""Trained models as NumPy arrays: predicting, ranking, folding in and judging. Nothing here needs torch."""
