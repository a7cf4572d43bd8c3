-- Takes a caller that has gone out of the queue, or ends the lease that it did not get, unless a repeat of the call has got
-- it meanwhile.
--
-- args: request_id, attempt (the lease id that the call asked for)
-- answer: {}

leave_queue(args.attempt)
local lease_id = redis.call('GET', P .. ':request:' .. args.request_id)
if lease_id and redis.call('HGET', P .. ':lease:' .. lease_id, 'attempt') == args.attempt then
  end_lease(lease_id, true)
end
serve_waiters()
return cjson.encode({})
