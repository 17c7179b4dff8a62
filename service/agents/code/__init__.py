"""The code analysis agent: parses code in a message and reports what is wrong with it. It never runs it."""
