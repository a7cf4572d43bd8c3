-- Ends the lease that a request has got, for a caller that does not know of it.
--
-- args: request_id
-- answer: {was_live}

local lease_id = redis.call('GET', P .. ':request:' .. args.request_id)
local kind = lease_id and redis.call('HGET', P .. ':lease:' .. lease_id, 'kind')
local deadline = kind and tonumber(redis.call('ZSCORE', P .. ':deadlines:' .. kind, lease_id) or 0) or 0
if lease_id then
  end_lease(lease_id, true)
  serve_waiters()
end
return cjson.encode({was_live = deadline > now})
