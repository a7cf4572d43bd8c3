-- Makes an offered lease (_queue.lua) its holder's for its whole time, if it lives.
--
-- args: lease_id, duration_ms
-- answer: {deadline_ms}; 0 when it is over

local row = redis.call('HMGET', P .. ':lease:' .. args.lease_id, 'token', 'kind')
local deadline = tonumber(row[1] and redis.call('ZSCORE', P .. ':deadlines:' .. row[2], args.lease_id) or 0)
if deadline <= now then
  return cjson.encode({deadline_ms = 0})
end
return cjson.encode({deadline_ms = extend_lease(args.lease_id, row[1], row[2], args.duration_ms)})
