"""Aldaba: one access server for partner APIs, one core, many dialects."""
