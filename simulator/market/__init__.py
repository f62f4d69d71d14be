"""The market: candles recorded or made, the path inside each, and what can be seen of them at an instant."""
