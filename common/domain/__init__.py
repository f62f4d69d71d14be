"""Nouns and rules of trading: pure functions of their arguments, with no I/O, clock, dice, ORM or settings."""
