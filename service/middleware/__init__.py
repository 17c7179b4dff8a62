"""What every response passes through: plain ASGI, one idea a file."""
