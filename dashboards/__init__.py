"""Dashboards as code: helpers, the dashboards, their committed JSON, and a stack that uploads them."""
