"""Answers from a trained run: lists for users, predictions of pairs, similar items, what there is. No torch."""
