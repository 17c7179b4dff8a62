"""Alert rules, recording rules and routing, written once in Python and rendered to what Prometheus reads."""
