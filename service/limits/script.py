"""The one script: all buckets of a request are judged together and charged only when all allow, so nothing
races between nodes. The server's clock decides. A budget counter may stand behind the buckets.

KEYS: n buckets, then at most one budget counter (micro-USD spent this month).
ARGV: n; emission, tolerance, cost (µs, µs, units) per bucket; then limit and reservation in micro-USD.
Answer: [verdict, ahead…, retry or spent]: verdict 0 allowed, i refused by bucket i, n + 1 refused by the
budget, -1 the budget counter is unknown here and must be loaded first.
"""

from __future__ import annotations

import hashlib
from typing import Final

ADMIT: Final = """
local n = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local ahead, uncharged = {}, {}
local refused, retry = 0, 0
for i = 1, n do
  local emission, tolerance, cost = tonumber(ARGV[i*3-1]), tonumber(ARGV[i*3]), tonumber(ARGV[i*3+1])
  local before = (tonumber(redis.call('GET', KEYS[i])) or now) - now
  if before < 0 then before = 0 end
  local wanted = before + emission * cost
  ahead[i], uncharged[i] = wanted, before
  if wanted > tolerance + 1 and refused == 0 then refused, retry = i, wanted - tolerance end
end
local answer = {refused}
if refused == 0 and #KEYS > n then
  local spent = tonumber(redis.call('GET', KEYS[n+1]))
  local limit, reserve = tonumber(ARGV[n*3+2]), tonumber(ARGV[n*3+3])
  if not spent then
    answer[1] = -1
  elseif spent + reserve > limit then
    answer[1] = n + 1
    retry = spent
  else
    redis.call('INCRBY', KEYS[n+1], reserve)
    retry = spent + reserve
  end
end
for i = 1, n do
  answer[i+1] = math.floor(answer[1] == 0 and ahead[i] or uncharged[i])
  if answer[1] == 0 and ahead[i] > 0 then
    redis.call('SET', KEYS[i], string.format('%.0f', now + ahead[i]), 'PX', math.ceil(ahead[i] / 1000) + 1)
  end
end
answer[n+2] = math.ceil(retry)
return answer
"""

# KEYS: a token bucket or '', a budget counter or ''. ARGV: µs to add (may be negative), micro-USD to add.
# A bucket that is gone was full again; what was used beyond the reservation since is charged all the same.
# A counter that is gone stays gone: it is loaded afresh, with this call already in the ledger.
SETTLE: Final = """
for i = 1, #KEYS do
  local value, change = redis.call('GET', KEYS[i]), tonumber(ARGV[i])
  if string.sub(KEYS[i], -1) == 't' then
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
    local ahead = math.max((tonumber(value) or now) - now, 0) + change
    if ahead > 0 then
      redis.call('SET', KEYS[i], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000) + 1)
    else
      redis.call('DEL', KEYS[i])
    end
  elseif value then
    redis.call('INCRBY', KEYS[i], change)
  end
end
return 0
"""

ADMIT_SHA: Final = hashlib.sha1(ADMIT.encode()).hexdigest()  # noqa: S324  # Redis names scripts so
SETTLE_SHA: Final = hashlib.sha1(SETTLE.encode()).hexdigest()  # noqa: S324
