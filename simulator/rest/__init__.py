"""The venue's REST side: one table of routes, checked and answered the way Binance does."""
