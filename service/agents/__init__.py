"""Specialised agents: code that answers the messages it is good at, instead of a model."""
