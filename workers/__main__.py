"""Starts one process of the fleet: `python -m workers worker STAGE | beat | stream | account-stream | flower`."""

from __future__ import annotations

import argparse
import sys

from common.domain.errors import TradewindsError


def main(argv: list[str]) -> int:
    """Run the process `argv` asks for until it is told to stop; 2 when the request makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="the worker of one stage")
    worker.add_argument("stage")
    worker.add_argument("--concurrency", type=int)
    commands.add_parser("beat", help="the clock that rings every tick")
    commands.add_parser("stream", help="the websocket reader that keeps candles")
    commands.add_parser("account-stream", help="the websocket reader that books what happens in live accounts")
    flower = commands.add_parser("flower", help="the Flower dashboard")
    flower.add_argument("--port", type=int, default=5555)
    flower.add_argument("--address", default="127.0.0.1")
    flower.add_argument("--basic-auth", help="user:password; read from a file in deployments")
    options = parser.parse_args(argv)
    try:
        return _run(options)
    except TradewindsError as error:
        print(error, file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    if options.command == "stream":
        from workers.stream import run_stream

        return run_stream()
    if options.command == "account-stream":
        from workers.account_stream import run_account_stream

        return run_account_stream()
    from common.bootstrap import load_strategies
    from common.domain.job import Stage
    from common.settings import read_settings
    from workers.app import app

    if options.command == "worker":
        if options.stage == Stage.SCAN.partition(".")[0]:
            # Before anything is forked and rung for; other stages never evaluate a strategy, and go on without.
            load_strategies(read_settings())
        return _work(options.stage, options.concurrency)
    if options.command == "beat":
        app.start(["-A", "workers", "beat", "--loglevel", "WARNING", "--pidfile", ""])
    else:
        arguments = ["flower", f"--port={options.port}", f"--address={options.address}"]
        arguments += [f"--basic-auth={options.basic_auth}"] if options.basic_auth else []
        app.start(arguments)
    return 0


def _work(stage: str, concurrency: int | None) -> int:
    """Be a worker, without Celery's command line: that loads Flower and a shell, a fifth of what a restart takes."""
    from celery.utils.nodenames import host_format

    from workers.app import app
    from workers.queues import worker_options

    options = worker_options(stage, concurrency)
    worker = app.Worker(**options | {"hostname": host_format(options["hostname"])})
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
