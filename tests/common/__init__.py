"""Tests of what stands beside the rooms: settings and telemetry."""
