"""Several models argue in rounds towards one answer."""
