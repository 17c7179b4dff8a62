"""What must never be: rules over resources, the same in offline preview, tests and CrossGuard."""
