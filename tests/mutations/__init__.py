"""Mutations: behaviour broken on purpose, row by row, and the tests that must notice (docs/mutations.md)."""
