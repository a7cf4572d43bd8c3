-- Tells that a replica lives and who waits there, and what it was given since.
--
-- args: replica, tickets = [[ticket, what is left of its wait in ms]]
-- answer: {status = 'ok', offers = [answer of acquire.lua], unknown = [ticket] (not in the queue, by a flush or a lapse),
--          hopeless = [ticket] (no token could serve it any more; it has left), next_ms (when something may come free by
--          itself; -1: unknown)} | {status = 'unbuilt'}

if not built() then
  return cjson.encode({status = 'unbuilt'})
end
local unknown, hopeless, possible = {}, {}, {}
for _, entry in ipairs(args.tickets) do
  local id = entry[1]
  local text = redis.call('HGET', W .. ':tickets', id)
  if text then
    keep_ticket(id, entry[2])
    local class = cjson.decode(text).class
    if possible[class] == nil then
      possible[class] = is_possible(read_wish(redis.call('HGET', W .. ':wishes', class)))
    end
    if not possible[class] then
      leave_queue(id)
      hopeless[#hopeless + 1] = id
    end
  else
    unknown[#unknown + 1] = id
  end
end

while expire_leases() + wake_tokens() > 0 do end
local next_ms = serve_waiters()
for _, name in ipairs({':deadlines:image', ':deadlines:video', ':wakeups'}) do
  local first = redis.call('ZRANGE', P .. name, 0, 0, 'WITHSCORES')
  if first[2] and (not next_ms or tonumber(first[2]) < next_ms) then
    next_ms = tonumber(first[2])
  end
end

local offers = {}
for _, text in ipairs(redis.call('HVALS', W .. ':offers:' .. args.replica)) do
  offers[#offers + 1] = cjson.decode(text)
end
redis.call('DEL', W .. ':offers:' .. args.replica)
return cjson.encode({status = 'ok', offers = offers, unknown = unknown, hopeless = hopeless,
  next_ms = next_ms and math.max(next_ms - now, 0) or -1})
