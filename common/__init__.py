"""What the whole fleet knows: rules, doors, storage, use cases and the world's adapters."""
