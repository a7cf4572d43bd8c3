-- Takes back what claim.lua did, so that the caller can repeat the release.
--
-- args: lease_id, nonce

if redis.call('GET', P .. ':done:' .. args.lease_id) == args.nonce then
  redis.call('DEL', P .. ':done:' .. args.lease_id)
end
return cjson.encode({})
