"""`python -m api`: serves the API until it is told to stop."""

from __future__ import annotations

import argparse
import sys

from common.domain.errors import TradewindsError
from common.settings import read_settings
from common.telemetry import configure_logging, share_metrics


def main(argv: list[str]) -> int:
    """Serve; 2 when the settings make no sense."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", help="address to listen on; TRADEWINDS_API_HOST without it")
    parser.add_argument("--port", type=int, help="port to listen on; TRADEWINDS_API_PORT without it")
    options = parser.parse_args(argv)
    try:
        settings = read_settings(api_host=options.host, api_port=options.port)
    except TradewindsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(settings, process="api")
    share_metrics(settings)

    import uvicorn

    from api.app import create

    uvicorn.run(
        create(settings),
        host=settings.api_host,
        port=settings.api_port,
        # The fleet's own logging stays in force, so that nothing passes beside its redaction.
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
