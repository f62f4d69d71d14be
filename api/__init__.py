"""The HTTP API: health, numbers, and each tenant's own ledger, read only."""
