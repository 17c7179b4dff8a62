"""Tests of infra/delivery."""
