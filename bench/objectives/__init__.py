"""Experiments: do the objectives do what their papers say, in direction?"""
