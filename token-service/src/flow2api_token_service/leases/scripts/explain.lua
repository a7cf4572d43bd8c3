-- Tells why candidates cannot be served, for people; asked only where one was passed by, or all were.
--
-- args: wish = JSON (see _choose.lua), count (of the candidates from the first on)
-- answer: {passed = [{candidate, tokens = {reason: count} (see passed.py), until_ms (0: unknown), nowhere}]}

-- Of larger pools so many tokens are looked at, drawn at random; and of more candidates the first ones.
local LOOK_LIMIT = 100
local MOST_CANDIDATES = 8

-- The reason, and the time at which it ends by itself where there is one.
local function why_not(wish, token_id, candidate)
  local token = load_token(token_id)
  if not token then
    return nil
  end
  if token.state == 'off' then
    return 'disabled'
  end
  if token.limits[wish.kind] == 0 then
    return 'kind_off'
  end
  if token.tier < candidate.min_tier then
    return 'tier'
  end
  local rest_end = tonumber(redis.call('ZSCORE', P .. ':cool:' .. token_id, candidate.model) or 0)
  if rest_end > now then
    return redis.call('HGET', P .. ':coolwhy:' .. token_id, candidate.model) or 'resting', rest_end
  end
  if not is_awake(token) then
    local why = redis.call('HGET', P .. ':token:' .. token_id, 'why')
    return why and why ~= '' and why or 'resting', token.state == 'resting' and token.until_ms or nil
  end
  if wish.excluded[token_id] then
    return 'tried'
  end
  if candidate.credits > 0 and token.credits and token.credits < candidate.credits then
    return 'credits'
  end
  local limit = token.limits[wish.kind]
  if limit >= 0 and redis.call('ZCARD', live_key(token_id, wish.kind)) >= limit then
    return 'busy'
  end
  local seen = {}
  if not has_room_for_model(seen, token_id, candidate) then
    return seen.earliest_ms and 'minute_full' or 'busy', seen.earliest_ms
  end
  if wish.kind == 'video' and redis.call('EXISTS', P .. ':restoring') == 1 then
    return 'restoring'
  end
  return 'free_now'
end

local function explain(wish, index)
  local candidate = wish.candidates[index]
  local ids, left = {candidate.affinity}, 0
  if candidate.affinity == '' then
    local key = provider_key(candidate.provider)
    left = math.max(0, redis.call('SCARD', key) - LOOK_LIMIT)
    ids = left > 0 and redis.call('SRANDMEMBER', key, LOOK_LIMIT) or redis.call('SMEMBERS', key)
  end
  local counts, earliest_ms = {}, nil
  for _, token_id in ipairs(ids) do
    local reason, time_ms = why_not(wish, token_id, candidate)
    if reason then
      counts[reason] = (counts[reason] or 0) + 1
      if time_ms and (not earliest_ms or time_ms < earliest_ms) then
        earliest_ms = time_ms
      end
    end
  end
  if left > 0 then
    counts.not_looked_at = left
  end
  return {candidate = index - 1, tokens = counts, until_ms = earliest_ms or 0,
    nowhere = candidate.affinity == '' and is_nowhere(candidate, wish.kind)}
end

local wish = read_wish(args.wish)
local passed = {}
for index = 1, math.min(args.count, #wish.candidates, MOST_CANDIDATES) do
  passed[index] = explain(wish, index)
end
return cjson.encode({passed = passed})
