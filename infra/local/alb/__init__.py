"""The load balancer of the local system: Envoy does what the ELBv2 API says."""

REPORTED = "reported"
"""File in the controller's folder, touched after each report that the API took: a sign that it follows."""
