"""Tests of the store, on real Postgres."""
