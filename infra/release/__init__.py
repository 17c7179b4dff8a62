"""Which version runs: blue-green releases as a journal that survives its controller."""
