"""Breaks the running fleet, process by process and wire by wire, and checks after each hundred faults that nothing was lost."""
