-- Marks an outcome as being counted, before its effect on the token's health is written down. The lease stays live until
-- release.lua, so that nobody takes the token in between.
--
-- args: lease_id, nonce, keep_ms
-- answer: {first = bool}

local set = redis.call('SET', P .. ':done:' .. args.lease_id, args.nonce, 'NX', 'PX', args.keep_ms)
return cjson.encode({first = set and true or redis.call('GET', P .. ':done:' .. args.lease_id) == args.nonce})
