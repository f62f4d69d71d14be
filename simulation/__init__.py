"""Deterministic simulation: the real services under a virtual clock, a seeded scheduler and doors that fail."""
