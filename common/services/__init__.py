"""Use cases: one verb per file; each names its transactions."""
