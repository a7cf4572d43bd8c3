-- Shared by the scripts that make room or give it out: the queue of those who wait for a lease, of all replicas.
--
-- Fair across API keys by weight, first come first served within a key: a start-time fair queue. Waiters with the same wish
-- (a class) are served by the same tokens: where the first cannot be, none can. A key has a line in each class in which it
-- waits; the line with the lowest pass is next (of equal passes, the one whose head waits longest). Being served moves the
-- key's pass on by STEP / weight, and the next head of that line begins at it, or at the virtual time: the highest pass that
-- was served. The heads of the key's other lines keep their passes, so that nothing that a key gets in one class, images
-- say, puts its waiter of another class, a video, back for ever. A head that leaves unserved leaves its pass to the next.
--
-- The bound: while a waiter is the first of its line, and what comes free suits it, another key is served at most
-- L + floor(K * its weight / the waiter's weight) times before it, where L and K are the numbers of lines that the other key
-- and the waiter's key have had: twice with one line each and equal weights. Weights are whole numbers.
--
-- Keys (W is P:wait):
--   W:tickets               hash: ticket (the id that the lease will have) -> {id, class, key, replica, request, duration_ms, seq}
--   W:until                 sorted set of tickets by the time after which nobody waits: the waiter's deadline, or a few seconds
--                           after its replica has been heard of for the last time (beat.lua)
--   W:wishes                hash: class -> the wish as JSON
--   W:line:<class>:<key>    sorted set of tickets by arrival
--   W:turn:<class>          sorted set of <arrival of the head><key> by pass
--   W:passes, W:idle        sorted sets of keys by pass: with waiters, and without but ahead of the virtual time
--   W:counts                hash: key -> number of its waiters
--   W:arrivals, W:virtual   counter of arrivals, virtual time
--   W:offers:<replica>      hash: ticket -> answer; what the replica has been given, until it beats
--   P:granted:<replica>     channel on which it is told
--   P:keyweights            hash: API key id -> weight (1 when missing)

local W = P .. ':wait'
local STEP = 720720
local OFFER_MS = 5000
local ALIVE_MS = 5000
local OFFER_MEMORY_MS = 10000

local function has_waiters()
  return redis.call('EXISTS', W .. ':tickets') == 1
end

local function line_key(class, key)
  return W .. ':line:' .. class .. ':' .. key
end

local function virtual_time()
  return tonumber(redis.call('GET', W .. ':virtual') or 0)
end

local function pass_of(key)
  return tonumber(redis.call('ZSCORE', W .. ':passes', key) or 0)
end

local function turn_of(class, key)
  local head = redis.call('ZRANGE', line_key(class, key), 0, 0, 'WITHSCORES')
  return head[1] and string.format('%016d', tonumber(head[2])) .. key
end

-- Gives a new head of a line its place, where the line has a head.
local function take_turn(class, key, pass)
  local turn = turn_of(class, key)
  if turn then
    redis.call('ZADD', W .. ':turn:' .. class, pass, turn)
  end
end

local function first_pass(key)
  return math.max(pass_of(key), virtual_time())
end

local function join_queue(ticket, wish_text)
  local key, class = ticket.key, ticket.class
  if redis.call('HINCRBY', W .. ':counts', key, 1) == 1 then
    local pass = math.max(tonumber(redis.call('ZSCORE', W .. ':idle', key) or 0), virtual_time())
    redis.call('ZREM', W .. ':idle', key)
    redis.call('ZADD', W .. ':passes', pass, key)
  end
  ticket.seq = redis.call('INCR', W .. ':arrivals')
  redis.call('HSET', W .. ':tickets', ticket.id, cjson.encode(ticket))
  redis.call('HSET', W .. ':wishes', class, wish_text)
  local has_head = redis.call('EXISTS', line_key(class, key)) == 1
  redis.call('ZADD', line_key(class, key), ticket.seq, ticket.id)
  if not has_head then
    take_turn(class, key, first_pass(key))
  end
end

local function keep_ticket(id, wait_ms)
  redis.call('ZADD', W .. ':until', now + math.min(wait_ms, ALIVE_MS), id)
end

-- Takes a waiter out; `next_pass` is where the next head of its line begins, absent: where the waiter stood.
local function leave_queue(id, next_pass)
  redis.call('ZREM', W .. ':until', id)
  local text = redis.call('HGET', W .. ':tickets', id)
  if not text then
    return
  end
  local ticket = cjson.decode(text)
  local key, class = ticket.key, ticket.class
  redis.call('HDEL', W .. ':tickets', id)
  local turn = turn_of(class, key)
  redis.call('ZREM', line_key(class, key), id)
  if turn ~= turn_of(class, key) then
    local pass = next_pass or redis.call('ZSCORE', W .. ':turn:' .. class, turn)
    redis.call('ZREM', W .. ':turn:' .. class, turn)
    take_turn(class, key, pass)
    if redis.call('EXISTS', W .. ':turn:' .. class) == 0 then
      redis.call('HDEL', W .. ':wishes', class)
    end
  end
  if redis.call('HINCRBY', W .. ':counts', key, -1) == 0 then
    redis.call('HDEL', W .. ':counts', key)
    local pass = pass_of(key)
    redis.call('ZREM', W .. ':passes', key)
    if pass > virtual_time() then
      redis.call('ZADD', W .. ':idle', pass, key)
    end
  end
  if not has_waiters() then
    redis.call('DEL', W .. ':idle', W .. ':virtual', W .. ':arrivals')
  end
end

-- Moves a key on after the head of a line of it was served at a pass; answers where the next head begins.
local function move_on(key, served_pass)
  local weight = tonumber(redis.call('HGET', P .. ':keyweights', key) or 1)
  local pass, virtual = first_pass(key) + math.floor(STEP / weight), virtual_time()
  redis.call('ZADD', W .. ':passes', pass, key)
  if served_pass > virtual then
    redis.call('SET', W .. ':virtual', string.format('%.0f', served_pass))
    redis.call('ZREMRANGEBYSCORE', W .. ':idle', '-inf', served_pass)
  end
  return pass
end

local function drop_late_waiters()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', W .. ':until', '-inf', now, 'LIMIT', 0, BATCH)) do
    leave_queue(id)
  end
end

-- The place in a class whose turn it is, of the keys that may have more in flight.
local function first_turn(class, full)
  local rank = 0
  while true do
    local page = redis.call('ZRANGE', W .. ':turn:' .. class, rank, rank + 15, 'WITHSCORES')
    for index = 1, #page, 2 do
      local key = string.sub(page[index], 17)
      if full[key] == nil then
        full[key] = key_is_full(key)
      end
      if not full[key] then
        return {class = class, key = key, arrival = string.sub(page[index], 1, 16), pass = tonumber(page[index + 1])}
      end
    end
    if #page < 32 then
      return nil
    end
    rank = rank + 16
  end
end

local function is_before(turn, other)
  return turn.pass < other.pass or (turn.pass == other.pass and turn.arrival < other.arrival)
end

local function offer(turn, wish)
  local id = redis.call('ZRANGE', line_key(turn.class, turn.key), 0, 0)[1]
  local ticket = cjson.decode(redis.call('HGET', W .. ':tickets', id))
  ticket.offer_ms = OFFER_MS
  local answer = repeated_lease(ticket, wish.kind) or take_lease(wish, ticket)
  if not answer then
    return false
  end
  leave_queue(id, move_on(turn.key, turn.pass))
  local text = cjson.encode(answer)
  redis.call('HSET', W .. ':offers:' .. ticket.replica, id, text)
  redis.call('PEXPIRE', W .. ':offers:' .. ticket.replica, OFFER_MEMORY_MS)
  redis.call('PUBLISH', P .. ':granted:' .. ticket.replica, text)
  return true
end

-- Gives what is free to those who wait, in their order, until nothing suits anybody. Answers the time at which a token has
-- rested enough for somebody who waits, if there is one.
local function serve_waiters()
  if not has_waiters() then
    return nil
  end
  drop_late_waiters()
  local open, full, earliest_ms = {}, {}, nil
  local wishes = redis.call('HGETALL', W .. ':wishes')
  for index = 1, #wishes, 2 do
    open[wishes[index]] = read_wish(wishes[index + 1])
  end
  while true do
    local best = nil
    for class in pairs(open) do
      local turn = first_turn(class, full)
      if not turn then
        open[class] = nil
      elseif not best or is_before(turn, best) then
        best = turn
      end
    end
    if not best then
      return earliest_ms
    end
    local wish = open[best.class]
    if offer(best, wish) then
      full[best.key] = nil
    else
      open[best.class] = nil
      if wish.earliest_ms and (not earliest_ms or wish.earliest_ms < earliest_ms) then
        earliest_ms = wish.earliest_ms
      end
    end
  end
end
