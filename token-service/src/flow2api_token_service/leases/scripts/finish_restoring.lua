-- Ends the wait for lost leases, once one who knows of all of them has renewed them; what others hold has a last while to come.
--
-- args: grace_ms
-- answer: {}

if redis.call('GET', P .. ':restoring') == 'open' then
  redis.call('SET', P .. ':restoring', 'closing', 'PX', args.grace_ms)
end
return cjson.encode({})
