-- Takes a stream for one session of one node, or says who has it and stays.
-- KEYS  1 stream  2 epoch counter  3 change counter  4 next
-- ARGV  1 node  2 instance  3 session  4 publisher  5 addr  6 proto  7 lease_ms
--       8 policy (same|reject|replace)  9 floor  10 deadline_us (0: none)  11 channel  12 name
--       13 owner_gone (1: displace whatever the policy is)  14 next_ttl_ms
-- Returns {verdict, epoch, wait_ms, node, instance, addr, epoch of that owner, msn, dsn, epoch of
-- these, takeovers} with OK, BUSY or HOLD; or {'LATE', now_us}: nothing was done.
-- takeover.c decides in the same way.

local FREE, SHIFT_MAX, FORGET_US = 2, 7, 150000000

-- tostring() would give 1.79e+15.
local function text(n) return string.format('%.0f', n) end

local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2] -- microseconds, exact in a double until 2255
local deadline = tonumber(ARGV[10])
if deadline > 0 and now > deadline then
  return {'LATE', text(now)} -- its caller has given up and gone on by itself
end

local c = redis.call('HMGET', KEYS[1], 'node', 'instance', 'session', 'publisher', 'addr', 'epoch',
  'state', 'since', 'takeovers', 'lease_ms')
local following = redis.call('HMGET', KEYS[4], 'msn', 'dsn', 'epoch')

local takeovers = 0
local function answer(verdict, epoch, wait_ms)
  return {verdict, epoch, text(wait_ms), c[1] or '', c[2] or '', c[5] or '', c[6] or '',
    following[1] or '', following[2] or '', following[3] or '', text(takeovers)}
end

if c[1] then
  local age = math.max(now - (tonumber(c[8]) or 0), 0)
  takeovers = age > FORGET_US and 0 or (tonumber(c[9]) or 0)
  if c[2] == ARGV[2] and c[3] == ARGV[3] then -- our own again, after a lost reply
    redis.call('PEXPIRE', KEYS[1], ARGV[7])
    return answer('OK', c[6], 0)
  end
  local left = redis.call('PTTL', KEYS[1])
  local half = (tonumber(c[10]) or tonumber(ARGV[7])) / 2
  local same = c[4] == ARGV[4] and ARGV[4] ~= ''
  local free = left < half or ARGV[13] == '1' or (c[7] == 'lost' and same)
  if not free then
    if not (ARGV[8] == 'replace' or (ARGV[8] == 'same' and same)) then
      return answer('BUSY', c[6], math.max(left - half, 0))
    end
    local hold = 0
    if takeovers >= FREE then hold = 1000000 * 2 ^ math.min(takeovers, SHIFT_MAX) end
    if age < hold then return answer('HOLD', c[6], math.ceil((hold - age) / 1000)) end
    takeovers = takeovers + 1
  end
end

local epoch = math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, now, tonumber(ARGV[9]) + 1)
local granted = text(epoch)
redis.call('SET', KEYS[2], granted)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'instance', ARGV[2], 'session', ARGV[3],
  'publisher', ARGV[4], 'addr', ARGV[5], 'proto', ARGV[6], 'epoch', granted, 'state', 'live',
  'since', text(now), 'msn', following[1] or '', 'dsn', following[2] or '', 'tracks', '0',
  'takeovers', text(takeovers), 'lease_ms', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
if following[1] then redis.call('PEXPIRE', KEYS[4], ARGV[14]) end
local v = redis.call('INCR', KEYS[3])
-- Written out, since cjson escapes the slash; names and addresses have nothing to escape.
redis.call('PUBLISH', ARGV[11], string.format(
  '{"v":%d,"t":"own","stream":"%s","node":"%s","instance":"%s","epoch":"%s","addr":"%s"}',
  v, ARGV[12], ARGV[1], ARGV[2], granted, ARGV[5]))
return answer('OK', granted, 0)
