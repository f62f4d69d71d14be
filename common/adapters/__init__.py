"""The world: every other third-party library is spoken in exactly one of these rooms."""
