-- Gives a claim up, if it is still ours, and tells why.
-- KEYS  1 stream  2 change counter  3 next
-- ARGV  1 instance  2 epoch  3 channel  4 name  5 why  6 node  7 addr  8 msn ('': not known)  9 dsn
--       10 next_ttl_ms
-- Returns 1, or 0 when somebody else has the stream.

local c = redis.call('HMGET', KEYS[1], 'instance', 'epoch')
if c[1] ~= ARGV[1] or c[2] ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[3], 'msn', ARGV[8], 'dsn', ARGV[9], 'epoch', ARGV[2])
  redis.call('PEXPIRE', KEYS[3], ARGV[10])
end
local v = redis.call('INCR', KEYS[2])
-- Written out, since cjson escapes the slash; names and addresses have nothing to escape.
redis.call('PUBLISH', ARGV[3], string.format(
  '{"v":%d,"t":"end","stream":"%s","node":"%s","instance":"%s","epoch":"%s","addr":"%s","why":"%s"}',
  v, ARGV[4], ARGV[6], ARGV[1], ARGV[2], ARGV[7], ARGV[5]))
return 1
