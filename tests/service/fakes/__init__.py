"""Upstreams for tests: servers that refuse what the real API would refuse, on free loopback ports."""
