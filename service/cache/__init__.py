"""Answers that were already given."""
