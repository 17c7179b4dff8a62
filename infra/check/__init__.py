"""Is this environment fit for production: what was seen of it → rules → a verdict a line, with its fix."""
