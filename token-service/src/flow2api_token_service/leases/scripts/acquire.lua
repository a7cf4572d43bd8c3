-- Chooses a token for the first candidate that has one free, and takes a lease on it.
--
-- args: lease_id (also the name of this attempt), request_id, kind, key, duration_ms, excluded = [token id], default_retry_ms,
--       candidates = [{provider, model, min_tier, credits, affinity}]   (affinity '' for none)
-- answer: {status = 'leased', lease_id, token_id, model, candidate, deadline_ms, revision}
--         {status = 'busy', retry_ms} | {status = 'key_busy', retry_ms} | {status = 'never'} | {status = 'unbuilt'}
--
-- Cost: O(log n) of the pool. Only where filters exclude tokens at the head of a pool are more of them looked at: SCAN_LIMIT
-- from the head, then as many from a random place, so that no free token stays hidden for ever.

local PAGE = 16
local SCAN_LIMIT = 512

local excluded = {}
for _, token_id in ipairs(args.excluded) do
  excluded[token_id] = true
end

local earliest_ms = nil

local function rests_for_model(token_id, model)
  local until_ms = redis.call('ZSCORE', P .. ':cool:' .. token_id, model)
  if until_ms and tonumber(until_ms) > now then
    until_ms = tonumber(until_ms)
    if not earliest_ms or until_ms < earliest_ms then
      earliest_ms = until_ms
    end
    return true
  end
  return false
end

local function passes_filters(token_id, candidate)
  if excluded[token_id] or rests_for_model(token_id, candidate.model) then
    return false
  end
  if candidate.credits > 0 then
    local credits = tonumber(redis.call('HGET', P .. ':token:' .. token_id, 'credits'))
    return not credits or credits >= candidate.credits
  end
  return true
end

-- Answers the first passing token between two ranks, with its score.
local function scan(key, from_rank, limit, candidate)
  local rank = from_rank
  while rank < from_rank + limit do
    local page = redis.call('ZRANGE', key, rank, rank + PAGE - 1, 'WITHSCORES')
    for index = 1, #page, 2 do
      if passes_filters(page[index], candidate) then
        return page[index], tonumber(page[index + 1])
      end
    end
    if #page < PAGE * 2 then
      return nil
    end
    rank = rank + PAGE
  end
  return nil
end

local function first_passing(key, candidate)
  local token_id, token_score = scan(key, 0, SCAN_LIMIT, candidate)
  if token_id then
    return token_id, token_score
  end
  local size = redis.call('ZCARD', key)
  if size > SCAN_LIMIT then
    return scan(key, SCAN_LIMIT + now % (size - SCAN_LIMIT), SCAN_LIMIT, candidate)
  end
  return nil
end

local function choose_bound(candidate)
  local token = load_token(candidate.affinity)
  if not token or token.provider ~= candidate.provider or token.tier < candidate.min_tier then
    return nil
  end
  local key = free_key(token.provider, args.kind, token.tier)
  if redis.call('ZSCORE', key, token.id) and passes_filters(token.id, candidate) then
    return token.id
  end
  return nil
end

local function choose(candidate)
  if candidate.affinity ~= '' then
    return choose_bound(candidate)
  end
  local best, best_score = nil, nil
  for tier = candidate.min_tier, TOP_TIER do
    local token_id, token_score = first_passing(free_key(candidate.provider, args.kind, tier), candidate)
    if token_id and (not best or token_score < best_score) then
      best, best_score = token_id, token_score
    end
  end
  return best
end

-- Tokens that could serve the candidate now or later.
local function count_able(candidate)
  if candidate.affinity ~= '' then
    local token = load_token(candidate.affinity)
    if token and not excluded[token.id] and token.provider == candidate.provider and token.tier >= candidate.min_tier
      and token.limits[args.kind] ~= 0 and may_wake(token) then
      return 1
    end
    return 0
  end
  local count = 0
  for tier = candidate.min_tier, TOP_TIER do
    local key = able_key(candidate.provider, args.kind, tier)
    count = count + redis.call('SCARD', key)
    for token_id in pairs(excluded) do
      count = count - redis.call('SISMEMBER', key, token_id)
    end
  end
  return count
end

local function answer_lease(lease_id, token_id, model, candidate, deadline)
  return cjson.encode({
    status = 'leased',
    lease_id = lease_id,
    token_id = token_id,
    model = model,
    candidate = tonumber(candidate),
    deadline_ms = deadline,
    revision = tonumber(redis.call('HGET', P .. ':token:' .. token_id, 'revision')) or 0,
  })
end

local function answer_repeated()
  local lease_id = redis.call('GET', P .. ':request:' .. args.request_id)
  if not lease_id then
    return nil
  end
  local row = redis.call('HMGET', P .. ':lease:' .. lease_id, 'token', 'model', 'candidate')
  local deadline = row[1] and redis.call('ZSCORE', P .. ':deadlines:' .. args.kind, lease_id)
  if not deadline or tonumber(deadline) <= now then
    return nil
  end
  -- The lease is this caller's now: the one who asked before must not give it back any more (give_back.lua).
  redis.call('HSET', P .. ':lease:' .. lease_id, 'attempt', args.lease_id)
  return answer_lease(lease_id, row[1], row[2], row[3], tonumber(deadline))
end

local function take(token_id, index, candidate)
  local token = load_token(token_id)
  local limit = token.limits[args.kind]
  if limit >= 0 and redis.call('ZCARD', live_key(token_id, args.kind)) >= limit then
    return nil
  end
  token.used = redis.call('INCR', P .. ':sequence')
  redis.call('HSET', P .. ':token:' .. token_id, 'used', token.used)
  local deadline = now + args.duration_ms
  enter_lease({id = args.lease_id, kind = args.kind, key = args.key, model = candidate.model,
    request = args.request_id, candidate = index - 1, attempt = args.lease_id}, token, deadline)
  redis.call('SET', P .. ':request:' .. args.request_id, args.lease_id, 'PX', args.duration_ms)
  count_stat(token_id, 'uses', 1)
  redis.call('HSET', P .. ':stats:' .. token_id, 'last_use', now)
  redis.call('SADD', P .. ':stats:dirty', token_id)
  return answer_lease(args.lease_id, token_id, candidate.model, index - 1, deadline)
end

local function retry_ms()
  local hint = args.default_retry_ms
  if earliest_ms then
    hint = math.max(hint, earliest_ms - now)
  else
    local first = redis.call('ZRANGE', P .. ':wakeups', 0, 0, 'WITHSCORES')
    local live = redis.call('ZCARD', P .. ':deadlines:' .. args.kind)
    if first[2] and live == 0 then
      hint = math.max(hint, tonumber(first[2]) - now)
    end
  end
  return hint
end

if not built() then
  return cjson.encode({status = 'unbuilt'})
end
local repeated = answer_repeated()
if repeated then
  return repeated
end

local freed
repeat
  freed = expire_leases() + wake_tokens()
  local key_limit = args.key ~= '' and tonumber(redis.call('HGET', P .. ':keylimits', args.key)) or -1
  if key_limit >= 0 and redis.call('ZCARD', P .. ':keylive:' .. args.key) >= key_limit then
    if freed == 0 then
      return cjson.encode({status = 'key_busy', retry_ms = args.default_retry_ms})
    end
  else
    for index, candidate in ipairs(args.candidates) do
      local token_id = choose(candidate)
      local answer = token_id and take(token_id, index, candidate)
      if answer then
        return answer
      end
    end
  end
until freed == 0

for _, candidate in ipairs(args.candidates) do
  if count_able(candidate) > 0 then
    return cjson.encode({status = 'busy', retry_ms = retry_ms()})
  end
end
return cjson.encode({status = 'never'})
