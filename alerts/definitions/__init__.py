"""The alerts and recording rules themselves, one module a severity."""
