-- Takes counters out of Redis as one numbered batch; answers the same batch again until drop_stats.lua has ended it.
--
-- args: batch_id, limit
-- answer: the batch as it was stored: {id, tokens = [token id], stats = [{field, value, …}]} | '' when there is nothing

local pending = redis.call('GET', P .. ':stats:batch')
if pending then
  return pending
end
local ids = redis.call('SPOP', P .. ':stats:dirty', args.limit)
if #ids == 0 then
  return ''
end
local batch = {id = args.batch_id, tokens = ids, stats = {}}
for index, token_id in ipairs(ids) do
  batch.stats[index] = redis.call('HGETALL', P .. ':stats:' .. token_id)
  redis.call('DEL', P .. ':stats:' .. token_id)
end
pending = cjson.encode(batch)
redis.call('SET', P .. ':stats:batch', pending)
return pending
