"""Measurements of the gateway beside its floor and its peers: `python -m tests.benchmarks`."""
