"""What exists: the components of one environment, and the outputs that other commands read."""
