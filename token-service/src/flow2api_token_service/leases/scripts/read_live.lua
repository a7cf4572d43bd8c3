-- Reads what SQL does not know about tokens: live leases and counters that are not yet written.
--
-- args: ids = [token id]
-- answer: {image = [count], video = [count], stats = [{field, value, …}], all_image, all_video}

local answer = {
  image = {},
  video = {},
  stats = {},
  all_image = redis.call('ZCOUNT', P .. ':deadlines:image', '(' .. now, '+inf'),
  all_video = redis.call('ZCOUNT', P .. ':deadlines:video', '(' .. now, '+inf'),
}
for index, token_id in ipairs(args.ids) do
  answer.image[index] = redis.call('ZCOUNT', live_key(token_id, 'image'), '(' .. now, '+inf')
  answer.video[index] = redis.call('ZCOUNT', live_key(token_id, 'video'), '(' .. now, '+inf')
  answer.stats[index] = redis.call('HGETALL', P .. ':stats:' .. token_id)
end
return cjson.encode(answer)
