-- Takes tokens out of the index. Their leases run to their end.
--
-- args: ids = [token id]
-- answer: {}

for _, token_id in ipairs(args.ids) do
  local token = load_token(token_id)
  if token then
    redis.call('SREM', provider_key(token.provider), token_id)
    for _, kind in ipairs(KINDS) do
      redis.call('ZREM', free_key(token.provider, kind, token.tier), token_id)
      redis.call('SREM', able_key(token.provider, kind, token.tier), token_id)
    end
  end
  redis.call('ZREM', P .. ':wakeups', token_id)
  redis.call('SREM', P .. ':tokens', token_id)
  redis.call('SREM', P .. ':stats:dirty', token_id)
  redis.call('DEL', P .. ':token:' .. token_id, P .. ':cool:' .. token_id, P .. ':coolwhy:' .. token_id, P .. ':stats:' .. token_id)
end
return cjson.encode({})
