-- Writes tokens into the index as SQL has them. An older revision never replaces a newer one. Leases are left alone.
--
-- args: tokens = [{id, provider, tier, credits ('' for none), credits_are_fresh, revision, state, until_ms (0 for none),
--                  image, video (limits; -1 unlimited, 0 off), limits = '' or JSON, quota (_pool.lua), sick,
--                  why (_pool.lua), rests = [[model, until_ms, reason]]}]
-- answer: {}

local function withdraw(token)
  for _, kind in ipairs(KINDS) do
    redis.call('ZREM', free_key(token.provider, kind, token.tier), token.id)
    redis.call('SREM', able_key(token.provider, kind, token.tier), token.id)
  end
  redis.call('ZREM', P .. ':wakeups', token.id)
end

-- Rests that are over are kept for a while: release.lua sees by them that a success ends something.
local function put_rests(new)
  local key, why_key = P .. ':cool:' .. new.id, P .. ':coolwhy:' .. new.id
  redis.call('DEL', key, why_key)
  local last = 0
  for _, rest in ipairs(new.rests) do
    redis.call('ZADD', key, rest[2], rest[1])
    redis.call('HSET', why_key, rest[1], rest[3])
    last = math.max(last, rest[2])
  end
  if last > 0 then
    redis.call('PEXPIREAT', key, last + 86400000)
    redis.call('PEXPIREAT', why_key, last + 86400000)
  end
end

local function put(new)
  local old = load_token(new.id)
  if old and old.revision > new.revision then
    return
  end
  if old then
    withdraw(old)
  end
  redis.call('SADD', P .. ':tokens', new.id)
  redis.call('SADD', provider_key(new.provider), new.id)
  redis.call('HSET', P .. ':token:' .. new.id, 'provider', new.provider, 'tier', new.tier, 'revision', new.revision,
    'state', new.state, 'until', new.until_ms, 'image', new.image, 'video', new.video, 'limits', new.limits,
    'quota', new.quota, 'sick', new.sick and '1' or '0', 'why', new.why)
  if new.credits_are_fresh or not old then
    redis.call('HSET', P .. ':token:' .. new.id, 'credits', new.credits)
  end
  if new.credits_are_fresh then
    redis.call('HSET', P .. ':token:' .. new.id, 'credits_sent', now, 'credits_received', now)
  end
  put_rests(new)
  local token = load_token(new.id)
  for _, kind in ipairs(KINDS) do
    place(token, kind)
    if token.limits[kind] ~= 0 and may_wake(token) then
      redis.call('SADD', able_key(token.provider, kind, token.tier), token.id)
    end
  end
  if token.state == 'resting' and token.until_ms > now then
    redis.call('ZADD', P .. ':wakeups', token.until_ms, token.id)
  end
end

for _, new in ipairs(args.tokens) do
  put(new)
end
serve_waiters()
return cjson.encode({})
