"""Flower behind a password that is read from its secret file and is in no environment, argument or process list."""

from pathlib import Path

_secret = Path("/run/secrets/flower_basic_auth")
_credentials = _secret.read_text(encoding="utf-8").strip()
_user, _, _password = _credentials.partition(":")
if not _user or len(_password) < 8:
    raise SystemExit(f"{_secret} must hold user:password, the password of at least 8 characters")

basic_auth = [_credentials]
address = "0.0.0.0"  # of the container; compose publishes it on the loopback interface only
port = 5555
persistent = False
max_tasks = 2000
# Task events would cost the workers a third of their throughput; workers and queues are seen without them.
enable_events = False
