-- Moves the deadlines of leases; takes back in what was lost (expired, or flushed away) where its token has room.
--
-- args: duration_ms, leases = [{id, token, kind, key, model}]
-- answer: {status = 'ok', deadline_ms, renewed = [bool]} in the order of the leases | {status = 'unbuilt'}

local deadline = now + args.duration_ms

local function move(lease)
  redis.call('ZADD', live_key(lease.token, lease.kind), deadline, lease.id)
  redis.call('ZADD', P .. ':deadlines:' .. lease.kind, deadline, lease.id)
  local row = redis.call('HMGET', P .. ':lease:' .. lease.id, 'key', 'request')
  if row[1] and row[1] ~= '' then
    redis.call('ZADD', P .. ':keylive:' .. row[1], deadline, lease.id)
  end
  if row[2] and row[2] ~= '' then
    redis.call('SET', P .. ':request:' .. row[2], lease.id, 'PX', args.duration_ms)
  end
end

local function renew(lease)
  local held_until = redis.call('ZSCORE', live_key(lease.token, lease.kind), lease.id)
  if held_until and tonumber(held_until) > now then
    move(lease)
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
return cjson.encode({status = 'ok', deadline_ms = deadline, renewed = renewed})
