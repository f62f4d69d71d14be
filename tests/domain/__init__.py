"""The rules of trading, tested without I/O."""
