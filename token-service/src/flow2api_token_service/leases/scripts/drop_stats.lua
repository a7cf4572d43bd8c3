-- Ends the batch of take_stats.lua after SQL has it.
--
-- args: batch_id
-- answer: {}

local pending = redis.call('GET', P .. ':stats:batch')
if pending and cjson.decode(pending).id == args.batch_id then
  redis.call('DEL', P .. ':stats:batch')
end
return cjson.encode({})
