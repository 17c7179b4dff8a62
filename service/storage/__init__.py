"""Postgres, Redis and the local journal: what is kept, and what happens while one of them is gone."""
