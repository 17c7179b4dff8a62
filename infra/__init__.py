"""Provisions and operates SuperAgent: the Pulumi program and the `superagent` command."""
