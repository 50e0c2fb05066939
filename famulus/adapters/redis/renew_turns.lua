-- Leases of one implementation go on, also those that were forgotten.
--
-- KEYS[1]  the leases, as in take_turn.lua
-- ARGV[1]  microseconds that they last from now
-- ARGV[2], ARGV[3], ...  the leases

local clock = redis.call('TIME')
local lasts = tonumber(ARGV[1])
local ends = string.format('%.0f', clock[1] * 1000000 + clock[2] + lasts)

for i = 2, #ARGV do
    redis.call('ZADD', KEYS[1], ends, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], math.ceil(lasts / 1000) + 1000)
