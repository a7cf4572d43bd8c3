-- Takes in what an account had left after a call.
--
-- args: token, credits, age_ms (since the answer came), call_ms (how long the call took)
-- answer: {}

if redis.call('EXISTS', P .. ':token:' .. args.token) == 1 then
  local received = now - args.age_ms
  see_credits(args.token, args.credits, received - args.call_ms, received)
end
return cjson.encode({})
