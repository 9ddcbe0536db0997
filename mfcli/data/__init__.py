"""Ratings, users and items: from anybody's files to what a solver is built from."""
