"""Parity: the same candles through the real services and through the backtest, compared one for one."""
