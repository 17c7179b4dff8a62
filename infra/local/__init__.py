"""All of it here: parts, supervision, the emulated AWS and its load balancer."""
