-- Predecessors come to a join; answer how many have come, by how they came.
--
-- KEYS[1]  the join, a hash:
--            n:<node id> -> how it came   one field for each predecessor
--            c:<how>     -> count         kept beside them, so that an arrival costs the same however many came before
-- ARGV[1]  milliseconds that the join lives on from now
-- ARGV[2]  'add' to what is known, or 'replace' it
-- ARGV[3], ARGV[4], ...  node id and how it comes (fired, dead or failed), in pairs
--
-- A predecessor counts once, as it came first: a second arrival changes nothing, and gets the same answer.

if ARGV[2] == 'replace' then
    redis.call('DEL', KEYS[1])
end

for i = 3, #ARGV, 2 do
    local node, how = ARGV[i], ARGV[i + 1]
    if redis.call('HSETNX', KEYS[1], 'n:' .. node, how) == 1 then
        redis.call('HINCRBY', KEYS[1], 'c:' .. how, 1)
    end
end

redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('HMGET', KEYS[1], 'c:fired', 'c:dead', 'c:failed')
