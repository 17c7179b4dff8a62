"""The rules of `infra/advise/diagnose.py`, by what they look at. Each yields what it finds, with evidence."""
