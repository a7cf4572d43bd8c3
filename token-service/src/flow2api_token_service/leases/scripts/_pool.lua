-- Shared by every script of the pool: it is put in front of each of them. _choose.lua and _queue.lua follow it where needed.
--
-- KEYS[1]  the prefix of all keys; it holds a hash tag, so that a cluster keeps them in one slot
-- ARGV[1]  the arguments as a JSON object
--
-- Keys (P is the prefix; K is `image` or `video`; times are milliseconds of Redis's own clock):
--   P:epoch                  set while the index is complete; gone after a flush, which asks for a rebuild from SQL
--   P:building               a mark of the first build since Redis was empty; gone after a flush, also one during a build
--   P:restoring              open | closing: after a flush, while the leases of running videos are taken back in
--   P:sequence               counter of takes; orders tokens of equal load by last use
--   P:tokens                 set of the ids of all tokens
--   P:token:<id>             hash: provider tier credits revision state until image video sick used
--                            why: what keeps it from being active, in the words of passed.py; '' for an active one
--                            limits: '' or JSON of [[model or pattern, per minute, at once]], the token's own limits;
--                            null leaves one to the setting
--                            quota: '' or what it shares its models' limits with, such as a project in a location
--                            credits_sent, credits_received: when the call began and ended that told the credits
--                            state: active | resting (until a time) | watched (until a look upstream) | off (until a person)
--   P:free:<provider>:K:<tier>  sorted set of the tokens that can be taken now, by score (least loaded first)
--   P:able:<provider>:K:<tier>  set of the tokens that can be taken now or after waiting
--   P:wakeups                sorted set of token ids by the time at which they leave their state by themselves
--   P:of:<provider>          set of the ids of its tokens, in whatever state
--   P:cool:<id>              sorted set of upstream models by the time until which the token rests for them
--   P:coolwhy:<id>           hash: upstream model -> why, as health/states.py has it
--   P:live:<id>:K            sorted set of the token's lease ids by deadline
--   P:modellive:<scope>:<model>  set of the lease ids for an upstream model of a token, or of those that share its quota
--   P:begun:<scope>:<model>  sorted set of the lease ids of the last minute for a model by when they were taken; only where
--                            their number is limited
--   P:keylive:<api key>      sorted set of the API key's lease ids by deadline
--   P:keylimits              hash: API key id -> generations in flight allowed
--   P:keyrevisions           hash: API key id -> revision of its limit and weight
--   P:deadlines:K            sorted set of all lease ids by deadline
--   P:lease:<lease id>       hash: token kind key model request candidate attempt scope offered ('1' until accepted)
--   P:request:<request id>   lease id, while the lease lives
--   P:done:<lease id>        who released it; kept for an hour, so that an outcome counts once
--   P:stats:<id>             hash of counters that are not yet in SQL;  P:stats:dirty  set of those token ids
--   P:strategy               least_loaded (also when it is missing) | round_robin | random
--   P:wait:…                 those who wait for a lease: _queue.lua

local P = KEYS[1]
local args = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local today = math.floor(tonumber(time[1]) / 86400)

local KINDS = {'image', 'video'}
local TOP_TIER = 3
local BATCH = 100
-- Score: the load in thousandths above, the sequence of the last take below. 1000 * 2^43 < 2^53: exact in a double.
local LOAD_STEP = 8796093022208

local function built()
  return redis.call('EXISTS', P .. ':epoch') == 1
end

local function free_key(provider, kind, tier)
  return P .. ':free:' .. provider .. ':' .. kind .. ':' .. tier
end

local function able_key(provider, kind, tier)
  return P .. ':able:' .. provider .. ':' .. kind .. ':' .. tier
end

local function provider_key(provider)
  return P .. ':of:' .. provider
end

local function live_key(token_id, kind)
  return P .. ':live:' .. token_id .. ':' .. kind
end

local function model_live_key(scope, model)
  return P .. ':modellive:' .. scope .. ':' .. model
end

local function begun_key(scope, model)
  return P .. ':begun:' .. scope .. ':' .. model
end

-- Under what the leases of a token are counted for the limits of a model.
local function quota_scope(token_id)
  local quota = redis.call('HGET', P .. ':token:' .. token_id, 'quota')
  return quota and quota ~= '' and quota or token_id
end

local function load_token(token_id)
  local row = redis.call('HMGET', P .. ':token:' .. token_id,
    'provider', 'tier', 'state', 'until', 'image', 'video', 'used', 'credits', 'revision', 'sick')
  if not row[1] then
    return nil
  end
  return {
    id = token_id,
    provider = row[1],
    tier = tonumber(row[2]),
    state = row[3],
    until_ms = tonumber(row[4]),
    limits = {image = tonumber(row[5]), video = tonumber(row[6])},
    used = tonumber(row[7]) or 0,
    credits = tonumber(row[8]),
    revision = tonumber(row[9]),
    sick = row[10] == '1',
  }
end

-- A token that rests until a time is awake again from then on, without anybody writing it down.
local function is_awake(token)
  if token.state == 'active' then
    return true
  end
  return token.state == 'resting' and token.until_ms <= now
end

-- Whether waiting for the token makes sense: it is awake, or will be without a person doing something.
local function may_wake(token)
  return token.state ~= 'off'
end

local strategy_name = nil

local function strategy()
  strategy_name = strategy_name or redis.call('GET', P .. ':strategy') or 'least_loaded'
  return strategy_name
end

-- The place among the free tokens: the first is chosen, except at random.
local function score(token, kind, live)
  if strategy() == 'round_robin' then
    return token.used
  end
  if strategy() == 'random' then
    return 0
  end
  local limit = token.limits[kind]
  local load
  if limit > 0 then
    load = live / limit
  else
    load = live / (live + 100)
  end
  return math.floor(load * 1000) * LOAD_STEP + token.used
end

-- Puts the token into the set of free ones, at its place, or takes it out.
local function place(token, kind)
  local key = free_key(token.provider, kind, token.tier)
  local limit = token.limits[kind]
  if limit ~= 0 and is_awake(token) then
    local live = redis.call('ZCARD', live_key(token.id, kind))
    if limit < 0 or live < limit then
      redis.call('ZADD', key, score(token, kind, live), token.id)
      return
    end
  end
  redis.call('ZREM', key, token.id)
end

-- Forgets a live lease and gives its room back; `was_unused` says that nothing was asked of the upstream under it, so that it
-- does not count in its minute. An offer that nobody has taken never is used.
local function end_lease(lease_id, was_unused)
  local row = redis.call('HMGET', P .. ':lease:' .. lease_id, 'token', 'kind', 'key', 'request', 'model', 'offered', 'scope')
  if not row[1] then
    for _, kind in ipairs(KINDS) do
      redis.call('ZREM', P .. ':deadlines:' .. kind, lease_id)
    end
    return
  end
  local token_id, kind, key, request = row[1], row[2], row[3], row[4]
  redis.call('ZREM', live_key(token_id, kind), lease_id)
  redis.call('ZREM', P .. ':deadlines:' .. kind, lease_id)
  redis.call('DEL', P .. ':lease:' .. lease_id)
  -- What it was counted under, also when the token has been given another project meanwhile.
  local scope = row[7] or token_id
  redis.call('SREM', model_live_key(scope, row[5]), lease_id)
  if was_unused or row[6] then
    redis.call('ZREM', begun_key(scope, row[5]), lease_id)
  end
  if key ~= '' then
    redis.call('ZREM', P .. ':keylive:' .. key, lease_id)
  end
  if request ~= '' and redis.call('GET', P .. ':request:' .. request) == lease_id then
    redis.call('DEL', P .. ':request:' .. request)
  end
  local token = load_token(token_id)
  if token then
    place(token, kind)
  end
end

-- Ends leases whose deadline has passed, some per call; answers how many.
local function expire_leases()
  local count = 0
  for _, kind in ipairs(KINDS) do
    local over = redis.call('ZRANGEBYSCORE', P .. ':deadlines:' .. kind, '-inf', now, 'LIMIT', 0, BATCH)
    for _, lease_id in ipairs(over) do
      end_lease(lease_id)
    end
    count = count + #over
  end
  return count
end

-- Brings back tokens whose rest is over, some per call; answers how many.
local function wake_tokens()
  local due = redis.call('ZRANGEBYSCORE', P .. ':wakeups', '-inf', now, 'LIMIT', 0, BATCH)
  for _, token_id in ipairs(due) do
    redis.call('ZREM', P .. ':wakeups', token_id)
    local token = load_token(token_id)
    if token then
      for _, kind in ipairs(KINDS) do
        place(token, kind)
      end
    end
  end
  return #due
end

-- Moves the deadline of a live lease.
local function extend_lease(lease_id, token_id, kind, duration_ms)
  local deadline = now + duration_ms
  redis.call('ZADD', live_key(token_id, kind), deadline, lease_id)
  redis.call('ZADD', P .. ':deadlines:' .. kind, deadline, lease_id)
  redis.call('HDEL', P .. ':lease:' .. lease_id, 'offered')
  local row = redis.call('HMGET', P .. ':lease:' .. lease_id, 'key', 'request')
  if row[1] and row[1] ~= '' then
    redis.call('ZADD', P .. ':keylive:' .. row[1], deadline, lease_id)
  end
  if row[2] and row[2] ~= '' then
    redis.call('SET', P .. ':request:' .. row[2], lease_id, 'PX', duration_ms)
  end
  return deadline
end

-- Writes a lease down as live.
local function enter_lease(lease, token, deadline)
  local scope = quota_scope(token.id)
  redis.call('ZADD', live_key(token.id, lease.kind), deadline, lease.id)
  redis.call('ZADD', P .. ':deadlines:' .. lease.kind, deadline, lease.id)
  redis.call('HSET', P .. ':lease:' .. lease.id, 'token', token.id, 'kind', lease.kind, 'key', lease.key,
    'model', lease.model, 'request', lease.request, 'candidate', lease.candidate, 'attempt', lease.attempt, 'scope', scope)
  redis.call('SADD', model_live_key(scope, lease.model), lease.id)
  if lease.key ~= '' then
    redis.call('ZADD', P .. ':keylive:' .. lease.key, deadline, lease.id)
  end
  place(token, lease.kind)
end

local function count_stat(token_id, field, amount)
  redis.call('HINCRBY', P .. ':stats:' .. token_id, field, amount)
end

-- What an account had left, told by a call that was sent and answered then. Reports come in any order: an older one changes
-- nothing. Of calls that overlapped nobody knows which was charged first, but charges only lower a balance.
local function see_credits(token_id, credits, sent, received)
  local key = P .. ':token:' .. token_id
  local known = redis.call('HMGET', key, 'credits', 'credits_sent', 'credits_received')
  local known_sent, known_received = tonumber(known[2]), tonumber(known[3])
  if known_sent and received <= known_sent then
    return
  end
  if known_received and sent < known_received then
    credits = math.min(credits, tonumber(known[1]) or credits)
    sent, received = math.max(sent, known_sent), math.max(received, known_received)
  end
  redis.call('HSET', key, 'credits', credits, 'credits_sent', sent, 'credits_received', received)
  redis.call('HSET', P .. ':stats:' .. token_id, 'credits', credits)
  redis.call('SADD', P .. ':stats:dirty', token_id)
end
