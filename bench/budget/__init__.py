"""Experiments: which recipe a small budget of text and minutes wants, and whether it pays."""
