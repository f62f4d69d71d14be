"""A practice world: a venue speaking Binance USD-M futures, a market to trade on and a model endpoint, in one process."""
