"""The last mile: workflows, the installed tool, the composed system."""
