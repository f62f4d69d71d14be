"""The world: every third-party library is spoken in exactly one room of this house."""
