"""The language models behind the gateway: one adapter a file, one internal language (`base`)."""
