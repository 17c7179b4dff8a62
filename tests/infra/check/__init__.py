"""Tests of infra/check."""
