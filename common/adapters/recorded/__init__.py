"""Folders of recorded candles: Parquet and CSV files, one market each, named after what they hold."""

from common.adapters.recorded.folder import RecordedFolder

__all__ = ["RecordedFolder"]
