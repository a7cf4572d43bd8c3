-- Ends a lease whose caller has gone before getting it, unless a repeat of the call has got it meanwhile.
--
-- args: lease_id, attempt
-- answer: {}

if redis.call('HGET', P .. ':lease:' .. args.lease_id, 'attempt') == args.attempt then
  end_lease(args.lease_id)
  announce_room()
end
return cjson.encode({})
