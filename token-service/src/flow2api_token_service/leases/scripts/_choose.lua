-- Shared by the scripts that give out leases: choosing a token and taking the lease.
--
-- A wish is {kind, candidates = [{provider, model, min_tier, credits, affinity, per_minute, at_once}], excluded = {token id ->
-- true}}; affinity is '' for none. per_minute and at_once say how many leases for the model a token may be given within a
-- minute, and hold (-1: any), unless the token has limits of its own. `earliest_ms` is added to it: the first time at which a
-- token that was passed over has rested enough, or its minute has room again.
--
-- Cost: O(log n) of the pool. Only where filters exclude tokens at the head of a pool are more of them looked at: SCAN_LIMIT
-- from the head, then as many from a random place, so that no free token stays hidden for ever.

local PAGE = 16
local SCAN_LIMIT = 512
local MINUTE_MS = 60000
local A_FEW = 8

-- Redis starts its generator afresh for each script.
local is_seeded = false

local function random_below(bound)
  if not is_seeded then
    math.randomseed(tonumber(time[2]) + tonumber(redis.call('GET', P .. ':sequence') or 0) * 1000003)
    is_seeded = true
  end
  return math.random(bound) - 1
end

local function read_wish(text)
  local wish = cjson.decode(text)
  local excluded = {}
  for _, token_id in ipairs(wish.excluded) do
    excluded[token_id] = true
  end
  wish.excluded = excluded
  return wish
end

local function note_time(wish, time_ms)
  if not wish.earliest_ms or time_ms < wish.earliest_ms then
    wish.earliest_ms = time_ms
  end
end

local function rests_for_model(wish, token_id, model)
  local until_ms = tonumber(redis.call('ZSCORE', P .. ':cool:' .. token_id, model) or 0)
  if until_ms <= now then
    return false
  end
  note_time(wish, until_ms)
  return true
end

local function fits_pattern(model, pattern)
  local escaped = string.gsub(pattern, '[%^%$%(%)%%%.%[%]%+%-%?]', '%%%0')
  return string.find(model, '^' .. string.gsub(escaped, '%*', '.*') .. '$') ~= nil
end

local function own_or(own, of_setting)
  if own == cjson.null then
    return of_setting
  end
  return own
end

-- How many leases for the candidate's model the token may be given within a minute, and hold.
local function model_limits(token_id, candidate)
  local per_minute, at_once = candidate.per_minute or -1, candidate.at_once or -1
  local own = redis.call('HGET', P .. ':token:' .. token_id, 'limits')
  if own and own ~= '' then
    for _, row in ipairs(cjson.decode(own)) do
      if fits_pattern(candidate.model, row[1]) then
        return own_or(row[2], per_minute), own_or(row[3], at_once)
      end
    end
  end
  return per_minute, at_once
end

local function has_room_for_model(wish, token_id, candidate)
  local per_minute, at_once = model_limits(token_id, candidate)
  if per_minute < 0 and at_once < 0 then
    return true
  end
  local scope = quota_scope(token_id)
  if at_once >= 0 and redis.call('SCARD', model_live_key(scope, candidate.model)) >= at_once then
    return false
  end
  if per_minute < 0 then
    return true
  end
  local key = begun_key(scope, candidate.model)
  local since = '(' .. now - MINUTE_MS
  local count = redis.call('ZCOUNT', key, since, '+inf')
  if count < per_minute then
    return true
  end
  -- There is room when the youngest of those that are too many has left the minute.
  local last = redis.call('ZRANGEBYSCORE', key, since, '+inf', 'WITHSCORES', 'LIMIT', count - per_minute, 1)
  note_time(wish, tonumber(last[2]) + MINUTE_MS)
  return false
end

local function count_in_minute(token_id, candidate, lease_id)
  if model_limits(token_id, candidate) >= 0 then
    local key = begun_key(quota_scope(token_id), candidate.model)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - MINUTE_MS)
    redis.call('ZADD', key, now, lease_id)
    redis.call('PEXPIRE', key, MINUTE_MS)
  end
end

local function passes_filters(wish, token_id, candidate)
  if wish.excluded[token_id] or rests_for_model(wish, token_id, candidate.model)
    or not has_room_for_model(wish, token_id, candidate) then
    return false
  end
  if candidate.credits > 0 then
    local credits = tonumber(redis.call('HGET', P .. ':token:' .. token_id, 'credits'))
    return not credits or credits >= candidate.credits
  end
  return true
end

-- Answers the first passing token from a rank on, with its score.
local function scan(wish, key, from_rank, candidate)
  local rank = from_rank
  while rank < from_rank + SCAN_LIMIT do
    local page = redis.call('ZRANGE', key, rank, rank + PAGE - 1, 'WITHSCORES')
    for index = 1, #page, 2 do
      if passes_filters(wish, page[index], candidate) then
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

local function first_passing(wish, key, candidate)
  local token_id, token_score = scan(wish, key, 0, candidate)
  if token_id then
    return token_id, token_score
  end
  local size = redis.call('ZCARD', key)
  if size > SCAN_LIMIT then
    return scan(wish, key, SCAN_LIMIT + random_below(size - SCAN_LIMIT), candidate)
  end
  return nil
end

local function choose_bound(wish, candidate)
  local token = load_token(candidate.affinity)
  if not token or token.provider ~= candidate.provider or token.tier < candidate.min_tier then
    return nil
  end
  local key = free_key(token.provider, wish.kind, token.tier)
  if redis.call('ZSCORE', key, token.id) and passes_filters(wish, token.id, candidate) then
    return token.id
  end
  return nil
end

local function choose_first(wish, candidate)
  local best, best_score = nil, nil
  for tier = candidate.min_tier, TOP_TIER do
    local token_id, token_score = first_passing(wish, free_key(candidate.provider, wish.kind, tier), candidate)
    if token_id and (not best or token_score < best_score) then
      best, best_score = token_id, token_score
    end
  end
  return best
end

local function choose_random(wish, candidate)
  local sizes, total = {}, 0
  for tier = candidate.min_tier, TOP_TIER do
    sizes[tier] = redis.call('ZCARD', free_key(candidate.provider, wish.kind, tier))
    total = total + sizes[tier]
  end
  if total == 0 then
    return nil
  end
  local rank = random_below(total)
  for tier = candidate.min_tier, TOP_TIER do
    if rank < sizes[tier] then
      local token_id = scan(wish, free_key(candidate.provider, wish.kind, tier), rank, candidate)
      return token_id or choose_first(wish, candidate)
    end
    rank = rank - sizes[tier]
  end
  return nil
end

local function choose(wish, candidate)
  if candidate.affinity ~= '' then
    return choose_bound(wish, candidate)
  end
  if strategy() == 'random' then
    return choose_random(wish, candidate)
  end
  return choose_first(wish, candidate)
end

-- Whether the token's location has not got the model, as far as is known.
local function lacks_model(token_id, model)
  local until_ms = tonumber(redis.call('ZSCORE', P .. ':cool:' .. token_id, model) or 0)
  return until_ms > now and redis.call('HGET', P .. ':coolwhy:' .. token_id, model) == 'model_not_here'
end

local function one_has(token_ids, model, excluded)
  for _, token_id in ipairs(token_ids) do
    if not excluded[token_id] and not lacks_model(token_id, model) then
      return true
    end
  end
  return false
end

-- Whether one of the tokens that can be taken now or after waiting has the candidate's model and is not excluded. Mostly one of
-- a few has it; all are looked at only where none of these does.
local function somebody_has(candidate, kind, excluded)
  for tier = candidate.min_tier, TOP_TIER do
    local key = able_key(candidate.provider, kind, tier)
    if one_has(redis.call('SRANDMEMBER', key, A_FEW), candidate.model, excluded)
      or one_has(redis.call('SMEMBERS', key), candidate.model, excluded) then
      return true
    end
  end
  return false
end

-- Whether all tokens that could serve the candidate lack its model, and there are such tokens.
local function is_nowhere(candidate, kind)
  local count = 0
  for tier = candidate.min_tier, TOP_TIER do
    count = count + redis.call('SCARD', able_key(candidate.provider, kind, tier))
  end
  return count > 0 and not somebody_has(candidate, kind, {})
end

-- Whether there are tokens that could serve the candidate now or later. A location that has not got the model is not waited for.
local function can_ever_serve(wish, candidate)
  if candidate.affinity ~= '' then
    local token = load_token(candidate.affinity)
    return token ~= nil and not wish.excluded[token.id] and token.provider == candidate.provider
      and token.tier >= candidate.min_tier and token.limits[wish.kind] ~= 0 and may_wake(token)
      and not lacks_model(token.id, candidate.model)
  end
  return somebody_has(candidate, wish.kind, wish.excluded)
end

local function is_possible(wish)
  for _, candidate in ipairs(wish.candidates) do
    if can_ever_serve(wish, candidate) then
      return true
    end
  end
  return false
end

local function key_is_full(key)
  local limit = key ~= '' and tonumber(redis.call('HGET', P .. ':keylimits', key) or -1) or -1
  return limit >= 0 and redis.call('ZCARD', P .. ':keylive:' .. key) >= limit
end

local function lease_answer(attempt, lease_id, token_id, model, candidate, deadline)
  return {
    status = 'leased',
    attempt = attempt,
    lease_id = lease_id,
    token_id = token_id,
    model = model,
    candidate = tonumber(candidate),
    deadline_ms = deadline,
    revision = tonumber(redis.call('HGET', P .. ':token:' .. token_id, 'revision')) or 0,
  }
end

-- The lease that this request has already, if it lives. `attempt` is {id, request, duration_ms}.
local function repeated_lease(attempt, kind)
  local lease_id = redis.call('GET', P .. ':request:' .. attempt.request)
  if not lease_id then
    return nil
  end
  local row = redis.call('HMGET', P .. ':lease:' .. lease_id, 'token', 'model', 'candidate', 'offered')
  local deadline = tonumber(row[1] and redis.call('ZSCORE', P .. ':deadlines:' .. kind, lease_id) or 0)
  if deadline <= now then
    return nil
  end
  -- The lease is this caller's now: the one who asked before must not give it back any more (give_back.lua).
  redis.call('HSET', P .. ':lease:' .. lease_id, 'attempt', attempt.id)
  if row[4] then
    deadline = extend_lease(lease_id, row[1], kind, attempt.duration_ms)
  end
  return lease_answer(attempt.id, lease_id, row[1], row[2], row[3], deadline)
end

-- Takes a lease on the first token that will do. `attempt` is {id, request, key, duration_ms, offer_ms}: with an offer_ms the
-- lease lives for that long only, until it is accepted. After a flush no video is begun until those that the upstream is still
-- at work on have been taken back in (renew.lua): nobody here knows which tokens they keep busy.
local function take_lease(wish, attempt)
  if wish.kind == 'video' and redis.call('EXISTS', P .. ':restoring') == 1 then
    return nil
  end
  for index, candidate in ipairs(wish.candidates) do
    local token_id = choose(wish, candidate)
    if token_id then
      local token = load_token(token_id)
      local duration = math.min(attempt.offer_ms or attempt.duration_ms, attempt.duration_ms)
      token.used = redis.call('INCR', P .. ':sequence')
      redis.call('HSET', P .. ':token:' .. token_id, 'used', token.used)
      enter_lease({id = attempt.id, kind = wish.kind, key = attempt.key, model = candidate.model,
        request = attempt.request, candidate = index - 1, attempt = attempt.id}, token, now + duration)
      count_in_minute(token_id, candidate, attempt.id)
      if attempt.offer_ms then
        redis.call('HSET', P .. ':lease:' .. attempt.id, 'offered', '1')
      end
      redis.call('SET', P .. ':request:' .. attempt.request, attempt.id, 'PX', duration)
      count_stat(token_id, 'uses', 1)
      redis.call('HSET', P .. ':stats:' .. token_id, 'last_use', now)
      redis.call('SADD', P .. ':stats:dirty', token_id)
      return lease_answer(attempt.id, attempt.id, token_id, candidate.model, index - 1, now + duration)
    end
  end
  return nil
end
