-- Ends a lease and counts its outcome, each once.
--
-- A lease that is held lives on for hold_ms, because the upstream may still be at work.
--
-- args: lease_id, token, kind, model, nonce, keep_ms, hold_ms, verdict = 'ok' | 'error' | 'neutral', unused, outputs,
--       credits (-1: not told)
-- answer: {was_live, first, sick}   sick: the token remembers errors, or a rest for the model, that a success ends

local set = redis.call('SET', P .. ':done:' .. args.lease_id, args.nonce, 'NX', 'PX', args.keep_ms)
local first = set and true or redis.call('GET', P .. ':done:' .. args.lease_id) == args.nonce

local deadline = redis.call('ZSCORE', P .. ':deadlines:' .. args.kind, args.lease_id)
local was_live = deadline and tonumber(deadline) > now or false
if was_live and args.hold_ms > 0 then
  extend_lease(args.lease_id, args.token, args.kind, args.hold_ms)
elseif deadline then
  end_lease(args.lease_id, args.unused)
  serve_waiters()
end

local token = load_token(args.token)
local stats = P .. ':stats:' .. args.token
if first and token then
  if args.verdict == 'ok' then
    count_stat(args.token, 'successes', 1)
    redis.call('HSET', stats, 'last_success', now)
  elseif args.verdict == 'error' then
    count_stat(args.token, 'errors', 1)
    count_stat(args.token, 'errors:' .. today, 1)
    redis.call('HSET', stats, 'last_error', now)
  end
  if args.outputs > 0 then
    count_stat(args.token, args.kind .. 's', args.outputs)
    count_stat(args.token, args.kind .. 's:' .. today, args.outputs)
  end
  if args.credits >= 0 then
    -- The lease may have been used for a while; which of its calls told it is not known.
    see_credits(args.token, args.credits, now - 60000, now)
  end
  if args.verdict ~= 'neutral' or args.outputs > 0 or args.credits >= 0 then
    redis.call('SADD', P .. ':stats:dirty', args.token)
  end
end
local rest_end = redis.call('ZSCORE', P .. ':cool:' .. args.token, args.model)
local had_rest = rest_end and tonumber(rest_end) <= now or false
return cjson.encode({was_live = was_live, first = first, sick = token ~= nil and (token.sick or had_rest)})
