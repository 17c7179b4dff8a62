"""What the tools do, as metrics for a store that scrapes: read from where they keep their state."""
