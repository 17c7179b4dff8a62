"""How to get it back: back up, verify, prune, restore, cut over, rehearse."""
