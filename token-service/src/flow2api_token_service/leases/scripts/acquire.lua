-- Chooses a token for the first candidate that has one free, and takes a lease on it; where there is none, queues up.
--
-- args: lease_id (also the name of this attempt), request_id, key, duration_ms, default_retry_ms,
--       wish = JSON of {kind, candidates, excluded = [token id]} (see _choose.lua); equal wishes have equal texts
--       wait_ms (0: do not queue), replica, queue_limit, key_queue_limit (waiters in all, and of one API key)
-- answer: {status = 'leased', lease_id, token_id, model, candidate, deadline_ms, revision}
--         {status = 'busy' | 'key_busy' | 'queue_full', retry_ms} | {status = 'never'} | {status = 'unbuilt'}
--         {status = 'waiting', reason = 'busy' | 'key_busy', retry_ms}: the lease will be offered on P:granted:<replica>

local function retry_ms(wish)
  local hint = args.default_retry_ms
  if wish.earliest_ms then
    return math.max(hint, wish.earliest_ms - now)
  end
  local first = redis.call('ZRANGE', P .. ':wakeups', 0, 0, 'WITHSCORES')
  if first[2] and redis.call('ZCARD', P .. ':deadlines:' .. wish.kind) == 0 then
    return math.max(hint, tonumber(first[2]) - now)
  end
  return hint
end

local function queue_is_full()
  return redis.call('HLEN', W .. ':tickets') >= args.queue_limit
    or tonumber(redis.call('HGET', W .. ':counts', args.key) or 0) >= args.key_queue_limit
end

if not built() then
  return cjson.encode({status = 'unbuilt'})
end
local wish = read_wish(args.wish)
local attempt = {id = args.lease_id, request = args.request_id, key = args.key, duration_ms = args.duration_ms}
local repeated = repeated_lease(attempt, wish.kind)
if repeated then
  return cjson.encode(repeated)
end

local reason
repeat
  local freed = expire_leases() + wake_tokens()
  -- What is free after this suits nobody who waits, so that taking it overtakes nobody.
  serve_waiters()
  reason = 'key_busy'
  if not key_is_full(args.key) then
    local answer = take_lease(wish, attempt)
    if answer then
      return cjson.encode(answer)
    end
    reason = 'busy'
  end
until freed == 0
if not is_possible(wish) then
  return cjson.encode({status = 'never'})
end
if args.wait_ms <= 0 then
  return cjson.encode({status = reason, retry_ms = retry_ms(wish)})
end
if queue_is_full() then
  return cjson.encode({status = 'queue_full', retry_ms = retry_ms(wish)})
end
-- A command whose answer was lost is sent again by the client.
if redis.call('HEXISTS', W .. ':tickets', attempt.id) == 0 then
  attempt.class = redis.sha1hex(args.wish)
  attempt.replica = args.replica
  join_queue(attempt, args.wish)
end
keep_ticket(attempt.id, args.wait_ms)
return cjson.encode({status = 'waiting', reason = reason, retry_ms = retry_ms(wish)})
