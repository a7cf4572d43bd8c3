-- Moves the deadlines of leases; takes back in what was lost (expired, or flushed away) where its token has room.
--
-- args: duration_ms, leases = [{id, token, kind, key, model}]
-- answer: {status = 'ok', deadline_ms, renewed = [bool]} in the order of the leases | {status = 'unbuilt'}

local deadline = now + args.duration_ms

local function renew(lease)
  local held_until = redis.call('ZSCORE', live_key(lease.token, lease.kind), lease.id)
  if held_until and tonumber(held_until) > now then
    extend_lease(lease.id, lease.token, lease.kind, args.duration_ms)
    return true
  end
  if held_until then
    end_lease(lease.id)
  end
  if redis.call('EXISTS', P .. ':done:' .. lease.id) == 1 then
    return false
  end
  local token = load_token(lease.token)
  if not token then
    return false
  end
  local limit = token.limits[lease.kind]
  if limit >= 0 and redis.call('ZCARD', live_key(lease.token, lease.kind)) >= limit then
    return false
  end
  lease.request = ''
  lease.candidate = 0
  lease.attempt = ''
  enter_lease(lease, token, deadline)
  return true
end

if not built() then
  return cjson.encode({status = 'unbuilt'})
end
while expire_leases() > 0 do end
local renewed = {}
for index, lease in ipairs(args.leases) do
  renewed[index] = renew(lease)
end
serve_waiters()
return cjson.encode({status = 'ok', deadline_ms = deadline, renewed = renewed})
