"""A small HTTP/1.1 client for talking to one origin: keep-alive, TLS, streaming, limits, deadlines.

Written because the usual clients cost 4 to 60 times as much CPU per call (docs/performance.md).
It does what the gateway needs and refuses the rest: no redirects, no compression, no cookies.
"""
