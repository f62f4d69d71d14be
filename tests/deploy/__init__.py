"""The containers and manifests, tested without an engine."""
