"""Floors: what the same work costs with no engine round it, each a program of its own."""
