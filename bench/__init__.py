"""Benchmarks: foretext and what a user would pick instead, alternating in one run.

`make bench` runs all of them. No timed number is a test; RESULTS.md holds measured ones.
"""
