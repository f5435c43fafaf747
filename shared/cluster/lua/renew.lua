-- Renews the claims of one node, at most 50 a call; one that Redis has lost is written again with
-- the same epoch.
-- KEYS  1 change counter, then for each claim: stream, next
-- ARGV  1 node  2 instance  3 addr  4 lease_ms  5 channel  6 next_ttl_ms, then for each claim:
--       name epoch session publisher proto state msn dsn tracks takeovers (msn '': not known)
-- Returns for each claim {'OK'}, {'RESTORED'} or {'FENCED', epoch, instance, node, addr}.

local node, instance, addr, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local out = {}

local function write_next(key, a)
  if a.msn == '' then return end
  redis.call('HSET', key, 'msn', a.msn, 'dsn', a.dsn, 'epoch', a.epoch)
  redis.call('PEXPIRE', key, ARGV[6])
end

local function restore(key, a)
  redis.call('DEL', key)
  redis.call('HSET', key, 'node', node, 'instance', instance, 'session', a.session,
    'publisher', a.publisher, 'addr', addr, 'proto', a.proto, 'epoch', a.epoch, 'state', a.state,
    'since', a.epoch, 'msn', a.msn, 'dsn', a.dsn, 'tracks', a.tracks, 'takeovers', a.takeovers,
    'lease_ms', lease)
  redis.call('PEXPIRE', key, lease)
  local v = redis.call('INCR', KEYS[1])
  -- Written out, since cjson escapes the slash; names and addresses have nothing to escape.
  redis.call('PUBLISH', ARGV[5], string.format(
    '{"v":%d,"t":"own","stream":"%s","node":"%s","instance":"%s","epoch":"%s","addr":"%s"}',
    v, a.name, node, instance, a.epoch, addr))
end

for i = 1, (#KEYS - 1) / 2 do
  local stream, following = KEYS[2 * i], KEYS[2 * i + 1]
  local b = 6 + (i - 1) * 10
  local a = {name = ARGV[b + 1], epoch = ARGV[b + 2], session = ARGV[b + 3],
    publisher = ARGV[b + 4], proto = ARGV[b + 5], state = ARGV[b + 6], msn = ARGV[b + 7],
    dsn = ARGV[b + 8], tracks = ARGV[b + 9], takeovers = ARGV[b + 10]}
  local c = redis.call('HMGET', stream, 'instance', 'epoch', 'node', 'addr')
  local theirs, ours = tonumber(c[2]) or 0, tonumber(a.epoch)
  if c[1] == instance and theirs == ours then
    redis.call('HSET', stream, 'state', a.state, 'tracks', a.tracks)
    if a.msn ~= '' then redis.call('HSET', stream, 'msn', a.msn, 'dsn', a.dsn) end
    redis.call('PEXPIRE', stream, lease)
    write_next(following, a)
    out[i] = {'OK'}
  elseif not c[1] or theirs < ours or (theirs == ours and c[1] < instance) then
    restore(stream, a)
    write_next(following, a)
    out[i] = {'RESTORED'}
  else
    out[i] = {'FENCED', c[2], c[1], c[3] or '', c[4] or ''}
  end
end
return out
