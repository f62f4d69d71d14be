"""The fleet as a user runs it."""
