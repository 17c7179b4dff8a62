"""The local page: the committed Grafana dashboards drawn from Prometheus, and the system's state."""
