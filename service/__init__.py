"""The agent service: what gets deployed."""
