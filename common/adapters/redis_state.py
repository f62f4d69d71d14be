"""Shared state in Redis or Valkey: each question is one script, judged by the server's own clock."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import redis

from common.domain.errors import InvalidInput, Transient
from common.ports.rate_limits import CEILINGS, NEWCOMERS, CallClass, Caller, Charge, Grant
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

# KEYS: budgets. ARGV: ceiling, tenant, its share, whether shares count, newcomers' share, seconds a tenant stays active,
# then of each budget its weight, cap and window in seconds. A budget's hash holds `s:<second>` what was used then,
# of each tenant `u:` used, `b:` used in the window before, `n:` the window's number, `a:` when it last asked, `w:` its
# share; and `hold`, the instant until which the venue wants silence.
_CHARGE = """
local t = redis.call('TIME'); local now = tonumber(t[1]) + tonumber(t[2]) / 1000000; local second = math.floor(now)
local ceiling, tenant, share = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local shared, newcomers, active_s = ARGV[4] == '1', tonumber(ARGV[5]), tonumber(ARGV[6])
local first_used = 0
local function refusal(key, weight, cap, window)
  local seconds, used, before, number, asked, shares, total, gone = {}, {}, {}, {}, {}, {}, 0, {}
  local minute, of_minute = second - second % 60, 0
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local kind, name, value = string.sub(flat[i], 1, 2), string.sub(flat[i], 3), tonumber(flat[i + 1])
    if flat[i] == 'hold' then
      if value > now then return {'held', tostring(value - now), '0'} end
    elseif kind == 's:' then
      local at = tonumber(name)
      if at < second - window then gone[#gone + 1] = flat[i]
      else
        total = total + value; seconds[#seconds + 1] = {at, value}
        if at >= minute then of_minute = of_minute + value end
      end
    elseif kind == 'u:' then used[name] = value
    elseif kind == 'b:' then before[name] = value
    elseif kind == 'n:' then number[name] = value
    elseif kind == 'a:' then asked[name] = value
    elseif kind == 'w:' then shares[name] = value end
  end
  for i = 1, #gone do redis.call('HDEL', key, gone[i]) end
  for name, at in pairs(asked) do
    if now - at > 2 * window + active_s then
      redis.call('HDEL', key, 'u:' .. name, 'b:' .. name, 'n:' .. name, 'a:' .. name, 'w:' .. name)
    end
  end
  if key == KEYS[1] then first_used = of_minute + weight end
  local this = math.floor(now / window)
  if tenant ~= '' then
    redis.call('HSET', key, 'a:' .. tenant, now, 'w:' .. tenant, share)
    asked[tenant], shares[tenant] = now, share
  end
  local limit = cap * ceiling
  if total + weight > limit then
    local missing = total + weight - limit
    table.sort(seconds, function(a, b) return a[1] < b[1] end)
    for i = 1, #seconds do
      missing = missing - seconds[i][2]
      if missing <= 0 then return {'wait', tostring(math.max(0.001, seconds[i][1] + window + 1 - now)), '0'} end
    end
    return {'wait', tostring(window), '0'}
  end
  if tenant == '' or not shared then return nil end
  local function lately(name)
    local then_ = number[name] or 0
    local rest = 1 - (now % window) / window
    if then_ == this then return (used[name] or 0) + (before[name] or 0) * rest end
    if then_ == this - 1 then return (used[name] or 0) * rest end
    return 0
  end
  local sum = 0
  for name, at in pairs(asked) do if now - at <= active_s then sum = sum + (shares[name] or 1) end end
  local per_share = (1 - newcomers) * limit / sum
  if lately(tenant) + weight <= per_share * share then return nil end
  local reserved = 0
  for name, at in pairs(asked) do
    if name ~= tenant and now - at <= active_s then
      reserved = reserved + math.max(0, per_share * (shares[name] or 1) - lately(name))
    end
  end
  if total + weight + reserved + newcomers * limit <= limit then return nil end
  return {'wait', '0.2', '0'}
end
for i, key in ipairs(KEYS) do
  local at = 7 + (i - 1) * 3
  local refused = refusal(key, tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
  if refused then redis.call('PEXPIRE', key, 3700000) return refused end
end
for i, key in ipairs(KEYS) do
  local at = 7 + (i - 1) * 3
  local weight, window = ARGV[at], tonumber(ARGV[at + 2])
  redis.call('HINCRBYFLOAT', key, 's:' .. string.format('%d', second), weight)
  if tenant ~= '' then
    local this = math.floor(now / window)
    local then_ = tonumber(redis.call('HGET', key, 'n:' .. tenant) or '0')
    if then_ ~= this then
      local old = redis.call('HGET', key, 'u:' .. tenant)
      redis.call('HSET', key, 'b:' .. tenant, (then_ == this - 1 and old) or '0', 'u:' .. tenant, '0')
      redis.call('HSET', key, 'n:' .. tenant, string.format('%d', this))
    end
    redis.call('HINCRBYFLOAT', key, 'u:' .. tenant, weight)
  end
  redis.call('PEXPIRE', key, 3700000)
end
return {'taken', '0', tostring(first_used)}
"""

# KEYS[1] the budget; ARGV: what the venue says was used in its current minute, what was known to whoever asked it.
_LEARN = """
local t = redis.call('TIME'); local second = tonumber(t[1]); local minute = second - second % 60
local known, flat = 0, redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  if string.sub(flat[i], 1, 2) == 's:' and tonumber(string.sub(flat[i], 3)) >= minute then
    known = known + tonumber(flat[i + 1])
  end
end
local unknown = tonumber(ARGV[1]) - math.max(known, tonumber(ARGV[2]))
if unknown > 0 then
  redis.call('HINCRBYFLOAT', KEYS[1], 's:' .. string.format('%d', second), unknown)
  redis.call('PEXPIRE', KEYS[1], 3700000)
end
return 0
"""

# KEYS[1] the budget; ARGV: seconds of silence.
_HOLD = """
local t = redis.call('TIME'); local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local until_s = math.max(tonumber(redis.call('HGET', KEYS[1], 'hold') or '0'), now + tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'hold', string.format('%.6f', until_s))
redis.call('PEXPIRE', KEYS[1], 3700000)
return 0
"""


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


class RedisRateBroker:
    """Implements ports.rate_limits.RateBroker for all processes on one Redis; one script takes every charge or none."""

    _ACTIVE_S, _HOLD_MAX_S = 10, 3600.0

    def __init__(self, client: redis.Redis, prefix: str = "tradewinds") -> None:
        self._prefix = prefix
        self._charge, self._learn, self._hold = map(client.register_script, (_CHARGE, _LEARN, _HOLD))

    def _key(self, budget: str) -> str:
        return f"{self._prefix}:rate:{budget}"

    def ask(self, charges: Sequence[Charge], caller: Caller) -> Grant:
        """Take every charge or none."""
        if not charges:
            return Grant()
        is_shared = "0" if caller.kind is CallClass.PROTECTIVE else "1"
        arguments: list[Any] = [CEILINGS[caller.kind], caller.tenant, caller.share, is_shared, NEWCOMERS]
        arguments += [self._ACTIVE_S, *(x for item in charges for x in (item.weight, item.cap, item.window_s))]
        with _reaching("rate budget"):
            said, wait, used = self._charge([self._key(item.budget) for item in charges], arguments)
        return Grant(float(wait), said == "held", float(used))

    def learn(self, budget: str, used: float, known: float = 0.0) -> None:
        """What the venue counted and we did not is added."""
        with _reaching("rate budget"):
            self._learn([self._key(budget)], [used, known])

    def hold(self, budget: str, seconds: float) -> None:
        """Nobody asks for `seconds`, at most an hour."""
        with _reaching("rate budget"):
            self._hold([self._key(budget)], [min(seconds, self._HOLD_MAX_S)])
