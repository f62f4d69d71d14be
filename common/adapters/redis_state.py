"""Shared state in Redis or Valkey: each question is one script, judged by the server's own clock."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import redis

from common.domain.errors import InvalidInput, Transient
from common.ports.shared_state import BreakerState, Permit

_SOCKET_TIMEOUT_S = 2.0
_SPARE_MS = 60_000
_WAIT_STEP_S = 0.02
_WAIT_STEP_MAX_S = 0.25

_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

# KEYS[1] the breaker; ARGV: probe's name, probe's lease in ms, how long the key is kept in ms.
_ASK = (
    _NOW
    + """
local until_ms = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '-1')
if until_ms < 0 then return {'closed', '1', '0', ''} end
if now < until_ms then return {'open', '0', tostring(until_ms - now), ''} end
local leased = tonumber(redis.call('HGET', KEYS[1], 'probe_until') or '0')
if now < leased then return {'half_open', '0', tostring(leased - now), ''} end
redis.call('HSET', KEYS[1], 'probe', ARGV[1], 'probe_until', now + tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'half_open', '1', '0', ARGV[1]}
"""
)

# ARGV: the permit's probe or ''.
_SUCCEEDED = """
local until_ms = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '-1')
if until_ms < 0 or (ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'probe') == ARGV[1]) then
  redis.call('DEL', KEYS[1])
end
return 0
"""

# ARGV: the permit's probe or '', failures that open, how long to stay open in ms, how long the key is kept in ms.
_FAILED = (
    _NOW
    + """
local until_ms = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '-1')
if until_ms < 0 then
  local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  if failures < tonumber(ARGV[2]) then return 0 end
elseif ARGV[1] == '' or redis.call('HGET', KEYS[1], 'probe') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'open_until', now + tonumber(ARGV[3]))
redis.call('HDEL', KEYS[1], 'probe', 'probe_until')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""
)

# KEYS: the answer, the lead; ARGV: who asks, how long the lead lasts in ms. Answers, or gives the lead, or neither.
_LEAD = """
local answer = redis.call('GET', KEYS[1])
if answer then return {'answer', answer} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {'lead', ''} end
return {'wait', ''}
"""

# ARGV: who led, whether there is an answer, the answer, how long to keep it in ms.
_LAND = """
if ARGV[2] == '1' then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 0
"""

# KEYS[1] the bucket; ARGV: cost (negative gives back), capacity, tokens per ms.
_TAKE = (
    _NOW
    + """
local cost, capacity, refill = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(known[1] or ARGV[2]), tonumber(known[2] or tostring(now))
level = math.min(capacity, level + math.max(0, now - at) * refill)
local missing = cost - level
if missing <= 0 then level = math.min(capacity, level - cost) end
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', tostring(now))
local full = 60000
if refill > 0 then full = full + math.ceil((capacity - level) / refill) end
redis.call('PEXPIRE', KEYS[1], full)
if missing <= 0 then return '0' end
return tostring(missing / refill)
"""
)


def ping_redis(url: str, timeout_s: float = _SOCKET_TIMEOUT_S) -> None:
    """Return when the server at `url` answers; raises Transient, which never shows the address's password."""
    try:
        with connect_redis(url, timeout_s) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise Transient(f"the broker does not answer: {type(error).__name__}") from None


def connect_redis(url: str, timeout_s: float = _SOCKET_TIMEOUT_S) -> redis.Redis:
    """A client that gives up after `timeout_s` instead of hanging with the server."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=30,
    )


@contextmanager
def _reaching(what: str) -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        failure = Transient(f"the shared {what} cannot be reached: {type(error).__name__}")
    else:
        return
    raise failure


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


class RedisBreakers:
    """Implements ports.shared_state.Breakers for all processes on one Redis."""

    def __init__(
        self,
        client: redis.Redis,
        prefix: str = "tradewinds",
        failures_max: int = 5,
        open_s: float = 30.0,
        probe_s: float = 15.0,
    ) -> None:
        self._prefix, self._failures_max, self._open_s, self._probe_s = prefix, failures_max, open_s, probe_s
        self._ask, self._succeeded, self._failed = map(client.register_script, (_ASK, _SUCCEEDED, _FAILED))

    def _key(self, name: str) -> list[str]:
        return [f"{self._prefix}:breaker:{name}"]

    @property
    def _kept_ms(self) -> int:
        return _ms(self._open_s + self._probe_s) * 10 + _SPARE_MS

    def ask(self, name: str) -> Permit:
        """Whether `name` may be called now. Raises Transient when Redis cannot be reached."""
        with _reaching("breaker"):
            state, allowed, wait, probe = self._ask(self._key(name), [uuid4().hex, _ms(self._probe_s), self._kept_ms])
        return Permit(BreakerState(state), allowed == "1", float(wait) / 1000, probe or None)

    def succeeded(self, name: str, permit: Permit) -> None:
        """Close the breaker, or clear its count of failures."""
        with _reaching("breaker"):
            self._succeeded(self._key(name), [permit.probe or ""])

    def failed(self, name: str, permit: Permit) -> None:
        """Count a failure, and open the breaker when it is one too many or a probe's."""
        arguments: list[str | int] = [permit.probe or "", self._failures_max, _ms(self._open_s), self._kept_ms]
        with _reaching("breaker"):
            self._failed(self._key(name), arguments)


class RedisSingleFlight:
    """Implements ports.shared_state.SingleFlight for all processes on one Redis; keys are kept as digests."""

    def __init__(self, client: redis.Redis, prefix: str = "tradewinds") -> None:
        self._prefix = prefix
        self._lead, self._land = map(client.register_script, (_LEAD, _LAND))

    def _keys(self, key: str) -> list[str]:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return [f"{self._prefix}:answer:{{{digest}}}", f"{self._prefix}:lead:{{{digest}}}"]

    def once(self, key: str, ttl_s: float, wait_s: float, compute: Callable[[], str]) -> str:
        """The kept answer of `key`, or that of `compute`, called by one caller while the others wait."""
        keys, me = self._keys(key), uuid4().hex
        kept = self._lead_or_wait(keys, me, wait_s)
        if kept is not None:
            return kept
        answer: str | None = None
        try:
            answer = compute()
        finally:
            self._try_to_land(keys, me, answer, ttl_s)
        return answer

    def _lead_or_wait(self, keys: list[str], me: str, wait_s: float) -> str | None:
        until, step = time.monotonic() + wait_s, _WAIT_STEP_S
        while True:
            with _reaching("answer"):
                said, answer = self._lead(keys, [me, _ms(wait_s)])
            if said == "answer":
                return str(answer)
            if said == "lead":
                return None
            left = until - time.monotonic()
            if left <= 0:
                raise Transient(f"no answer within {wait_s} s from who asked first")
            time.sleep(min(step, left))
            step = min(step * 1.5, _WAIT_STEP_MAX_S)

    def _try_to_land(self, keys: list[str], me: str, answer: str | None, ttl_s: float) -> None:
        """An answer that cannot be shared is still an answer: Redis being gone costs the others their own question."""
        arguments: list[Any] = [me, "0" if answer is None else "1", answer or "", _ms(ttl_s)]
        try:
            self._land(keys, arguments)
        except redis.RedisError:
            return


class RedisBudgets:
    """Implements ports.shared_state.Budgets for all processes on one Redis."""

    def __init__(self, client: redis.Redis, prefix: str = "tradewinds") -> None:
        self._prefix = prefix
        self._take = client.register_script(_TAKE)

    def _run(self, name: str, cost: float, capacity: float, refill_per_s: float) -> float:
        with _reaching("budget"):
            wait = self._take([f"{self._prefix}:budget:{name}"], [cost, capacity, refill_per_s / 1000])
        return float(wait) / 1000

    def take(self, name: str, cost: float, capacity: float, refill_per_s: float) -> float:
        """Take `cost` tokens; 0.0 when they were there, else the seconds until they will be."""
        if cost > capacity:
            raise InvalidInput("cost", cost, f"at most the capacity, {capacity}")
        return self._run(name, cost, capacity, refill_per_s)

    def give_back(self, name: str, cost: float, capacity: float) -> None:
        """Put back what was taken and not used."""
        self._run(name, -cost, capacity, 0.0)
