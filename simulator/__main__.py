"""The program: `python -m simulator` starts one practice world and says on its first line where it is."""

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from simulator.app import Options, World
from simulator.errors import BadArguments, StateMismatch
from simulator.personality import BINANCE_FUTURES, PERSONALITIES

DESCRIPTION = """\
A practice world on one address: a venue that speaks Binance USD-M futures REST (/fapi, /sapi) and WebSocket
(/ws, /market/ws, /public/ws, /private/ws), a market to trade on, and a model endpoint that speaks the OpenAI
chat protocol (/v1). Point a client at it by replacing scheme and host of its addresses.

Beside it, telling what this market does: CoinGecko's GET /api/v3/coins/markets, CoinMarketCap's
GET /v1/cryptocurrency/listings/latest and alternative.me's GET /fng/.

Its own routes: GET /simulator/clock, /simulator/status, /simulator/faults, /simulator/accounts/KEY/statement;
POST /simulator/accounts {"api_key","api_secret","balance"}, POST /simulator/instruments {"symbol","status"}, POST /simulator/faults {"site","kind","params",...}.

With --speed the venue's time runs that many times faster than life: candles, funding, expiry and listen keys
(60 minutes) follow it. recvWindow is stretched by the speed; rate limits count per minute of the wall clock.
"""


def parse(arguments: list[str]) -> tuple[Options, bool]:
    """The options from the command line; what is wrong is named with its value and what is accepted."""
    parser = argparse.ArgumentParser(
        "simulator", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=_whole(0, 65_535), default=0, help="port, 0 for any free one (default)")
    parser.add_argument(
        "--state", type=Path, help="folder that keeps accounts, orders and the clock over restarts (default: none)"
    )
    parser.add_argument(
        "--market",
        type=Path,
        help="folder of candle files like BTC_USDT-5m.parquet to replay (default: a generated market)",
    )
    parser.add_argument(
        "--speed",
        type=_between(0.001, 100_000.0),
        default=1.0,
        help="venue seconds per second, 0.001 to 100000 (default 1)",
    )
    parser.add_argument("--seed", type=_whole(0, 2**31), default=7, help="seed of the market (default %(default)s)")
    parser.add_argument("--symbols", default="", help="comma list like BTCUSDT,ETHUSDT (default: all there are)")
    parser.add_argument("--start", type=_instant, help="venue time to start at, ISO 8601 (default: after the warm-up)")
    parser.add_argument("--warmup-candles", type=_whole(0, 10**7), default=1000,
                        help="candles of history before the start (default %(default)s)")  # fmt: skip
    parser.add_argument("--model-latency", type=_between(0.0, 600.0), default=0.02,
                        help="seconds the model takes (default %(default)s)")  # fmt: skip
    parser.add_argument("--weight-limit", type=_whole(0, 10**9), default=2400,
                        help="request weight per minute and address, 0 for none (default %(default)s, as Binance)")  # fmt: skip
    parser.add_argument("--personality", choices=list(PERSONALITIES), default=BINANCE_FUTURES.name,
                        help="which venue's behaviour accounts meet that name none (default %(default)s)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="write log lines as JSON")
    given = parser.parse_args(arguments)
    symbols = tuple(part.strip() for part in given.symbols.split(",") if part.strip())
    options = Options(
        given.host, given.port, given.state, given.market, given.speed, given.seed, symbols, given.start,
        given.warmup_candles, given.model_latency, given.weight_limit, given.personality,
    )  # fmt: skip
    return options, given.json


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not accepted; accepted is a whole number from {least} to {most}"
            )
        return int(text)

    return read


def _between(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not accepted; accepted is a number from {low:g} to {high:g}")
        return value

    return read


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not accepted; accepted is an instant like 2021-05-19T12:00:00Z"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class JsonLines(logging.Formatter):
    """Log records as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {"level": record.levelname.lower(), "event": record.getMessage(), "logger": record.name}
        return json.dumps(entry | ({"exception": self.formatException(record.exc_info)} if record.exc_info else {}))


def _log(as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiohttp").setLevel(logging.WARNING)


async def serve(options: Options) -> None:
    """Run a world until it is told to stop."""
    world = World(options)
    runner = web.AppRunner(world.build(), access_log=None, shutdown_timeout=2)
    await runner.setup()
    listener = socket.create_server((options.host, options.port))
    await web.SockSite(runner, listener).start()
    host, port = listener.getsockname()[:2]
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    ready = {"ready": True, "url": f"http://{host}:{port}", "market": world.venue.market.description,
             "symbols": list(world.venue.rules), "speed": options.speed}  # fmt: skip
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()


def main() -> int:
    """Start, and end with 2 when the arguments, the state or the port are wrong."""
    options, as_json = parse(sys.argv[1:])
    _log(as_json)
    try:
        asyncio.run(serve(options))
    except (BadArguments, StateMismatch, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
