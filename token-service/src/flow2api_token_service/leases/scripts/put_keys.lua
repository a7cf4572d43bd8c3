-- Writes what API keys may do into the index as SQL has it. An older revision never replaces a newer one.
--
-- args: keys = [{id, revision, limit (generations in flight, -1 unlimited), weight}]
--       all: what stands there is replaced whatever its revision: SQL may have been brought back from a backup
-- answer: {}

for _, key in ipairs(args.keys) do
  local known = tonumber(redis.call('HGET', P .. ':keyrevisions', key.id) or 0)
  if args.all or key.revision >= known then
    redis.call('HSET', P .. ':keyrevisions', key.id, key.revision)
    redis.call('HSET', P .. ':keylimits', key.id, key.limit)
    redis.call('HSET', P .. ':keyweights', key.id, key.weight)
  end
end
-- A limit that was raised lets some of those go on who wait for it.
serve_waiters()
return cjson.encode({})
