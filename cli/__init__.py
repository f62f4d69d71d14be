"""The `tradewinds` command: starts the fleet, asks it, and stops it."""
