"""Indicators: pure functions from price and volume series to series of the same length, NaN where undefined."""
