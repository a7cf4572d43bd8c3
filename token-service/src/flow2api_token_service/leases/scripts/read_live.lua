-- Reads what SQL does not know about tokens: live leases and counters that are not yet written.
--
-- args: ids = [token id]
-- answer: {image = [count], video = [count], stats = [[field, value, …]], all_image, all_video}
--         a field of stats may come twice: once from the batch that is on its way to SQL

local answer = {
  image = {},
  video = {},
  stats = {},
  all_image = redis.call('ZCOUNT', P .. ':deadlines:image', '(' .. now, '+inf'),
  all_video = redis.call('ZCOUNT', P .. ':deadlines:video', '(' .. now, '+inf'),
}
local on_its_way = {}
local pending = #args.ids > 0 and redis.call('GET', P .. ':stats:batch')
if pending then
  local batch = cjson.decode(pending)
  for index, token_id in ipairs(batch.tokens) do
    on_its_way[token_id] = batch.stats[index]
  end
end

for index, token_id in ipairs(args.ids) do
  answer.image[index] = redis.call('ZCOUNT', live_key(token_id, 'image'), '(' .. now, '+inf')
  answer.video[index] = redis.call('ZCOUNT', live_key(token_id, 'video'), '(' .. now, '+inf')
  local stats = on_its_way[token_id] or {}
  for _, value in ipairs(redis.call('HGETALL', P .. ':stats:' .. token_id)) do
    stats[#stats + 1] = value
  end
  answer.stats[index] = stats
end
return cjson.encode(answer)
