-- Declares the index complete, unless Redis was flushed since the build began.
--
-- args: mark (what stood in P:building when the build began)
-- answer: {is_whole}

if redis.call('GET', P .. ':building') ~= args.mark then
  return cjson.encode({is_whole = false})
end
redis.call('SET', P .. ':epoch', args.mark)
return cjson.encode({is_whole = true})
