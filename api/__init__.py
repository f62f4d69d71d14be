"""The HTTP API: health, numbers, each tenant's own ledger read only, and the kill switch."""
