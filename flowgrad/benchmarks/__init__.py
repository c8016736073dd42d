"""Benchmarks as programs: five workloads, each beside the rivals that are installed, in one process, interleaved.

`flowgrad bench` runs them. Machines are shared and noisy: what counts is the ratio of two medians of one run.
"""
