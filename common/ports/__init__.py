"""Doors to the world, as Protocols; a port exists where there are two real implementations."""
