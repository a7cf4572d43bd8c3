-- Ends leases whose deadline has passed and wakes tokens whose rest is over, some per call.
--
-- answer: {status = 'ok', freed} | {status = 'unbuilt'}

if not built() then
  return cjson.encode({status = 'unbuilt'})
end
local freed = expire_leases() + wake_tokens()
if freed > 0 then
  serve_waiters()
end
return cjson.encode({status = 'ok', freed = freed})
