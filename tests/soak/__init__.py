"""`make soak`: the whole system under mixed load while it is killed, released, backed up and rehearsed."""
