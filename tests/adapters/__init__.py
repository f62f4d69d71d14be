"""Tests of the adapters: contracts against real servers on loopback, and what the wire carries."""
