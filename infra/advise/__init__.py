"""What to tune: reads the metrics, names bottlenecks, recommends, applies what is safe and watches it."""
