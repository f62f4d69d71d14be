"""An explicit-state check of the order, stop and halt machines: every interleaving within bounds, and every promise in each state."""
