"""Metrics as the official scorers of each data set compute them; no other part is needed."""
