"""Fixtures that every folder may use: the real parts, started once per run on free loopback ports."""

pytest_plugins = ["tests.parts"]
