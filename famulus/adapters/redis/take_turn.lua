-- Take a turn of an implementation; answer 0, or the microseconds after which it is worth asking again.
--
-- KEYS[1]  the leases: a sorted set, lease -> microseconds since the epoch at which it ends unless it is renewed
-- KEYS[2]  the rate: the time, in microseconds since the epoch, of the next cell (generic cell rate algorithm)
-- ARGV[1]  the lease
-- ARGV[2]  microseconds that it lasts
-- ARGV[3]  how many leases there may be at a time; 0: any number
-- ARGV[4]  microseconds between two starts on the long run; 0: no rate
-- ARGV[5]  microseconds that starts may be ahead of that after a pause
-- ARGV[6]  microseconds after which to look again when all turns are taken
--
-- The time is that of the server: the clocks of workers differ.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lease, lasts = ARGV[1], tonumber(ARGV[2])

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))

-- Whoever has it already asks because the first answer was lost.
if not redis.call('ZSCORE', KEYS[1], lease) then
    local most = tonumber(ARGV[3])
    if most > 0 and redis.call('ZCARD', KEYS[1]) >= most then
        return tonumber(ARGV[6])
    end
    local interval = tonumber(ARGV[4])
    if interval > 0 then
        local next_cell = math.max(tonumber(redis.call('GET', KEYS[2]) or now), now)
        local early = next_cell - tonumber(ARGV[5]) - now
        if early > 0 then
            return math.ceil(early)
        end
        next_cell = next_cell + interval
        redis.call('SET', KEYS[2], string.format('%.0f', next_cell), 'PX', math.ceil((next_cell - now) / 1000) + 1000)
    end
end

redis.call('ZADD', KEYS[1], string.format('%.0f', now + lasts), lease)
redis.call('PEXPIRE', KEYS[1], math.ceil(lasts / 1000) + 1000)
return 0
