"""The load balancer of the local system: Envoy does what the ELBv2 API says."""
