"""Measure workloads beside the rivals that are installed, interleaved in one process.

`flowgrad bench` runs them. Machines are shared and noisy: compare the ratio of two medians of one run.
"""
