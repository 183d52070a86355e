/**
 * The limiter as one Lua script, which Redis runs as one step: `memoryLimiter`'s rules, and the arithmetic of
 * `src/limits/bucket.ts` in the same order, so that the same doubles come out. It touches no key that is not in KEYS.
 * The takings from a bucket, each with its reservation and the end of its time, stand beside the bucket; expired
 * takings are given back when the bucket is next asked for, which comes to the same as giving them back on time.
 *
 * - KEYS: clock, epoch, reservation, then for each bucket the bucket and its takings, then one for each slot, and last the
 *   ids that the process holds; for operations that are no call's, those that they name.
 * - A reservation: the end of its time, the attempt that was granted, and what it holds, which the script does not read; or
 *   `!` and the amounts at which others have settled it in the name of a process that was thought dead.
 * - ARGV: see `encode.ts`, which writes it.
 * - A bucket: five doubles: drawn, since, refillPerMs, the instant before which no taking expires, and a budget's
 *   epoch.
 */
export const LIMITER_SCRIPT = `
local EPSILON, MAX_DRAWN, INFINITY = 1e-6, 268435456, math.huge
local LONG_MS, GRACE_MS, MAX_PX, MAX_EXPIRED = 3456000000, 5000, 1e13, 100
local DAY_MS, MAX_BACK_MS = 86400000, 60000
local arg = 0
local function text() arg = arg + 1 return ARGV[arg] end
local function number() return tonumber(text()) end
local function millis(ms) return string.format('%.0f', math.min(MAX_PX, math.max(1, math.ceil(ms)))) end
local function exact(n) return string.format('%.17g', n) end

local time = redis.call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local operation = text()

-- Tells which machines have fallen silent.
if operation == 'beat' then
  local id, lease = text(), number()
  local now = math.floor(micros / 1000)
  redis.call('ZADD', KEYS[1], exact(now), id)
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', exact(now - DAY_MS))
  redis.call('PEXPIRE', KEYS[1], millis(DAY_MS))
  local live = redis.call('ZCOUNT', KEYS[1], '(' .. exact(now - lease), '+inf')
  return live .. ' ' .. table.concat(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', exact(now - lease), 'LIMIT', 0, 16), ' ')
end
if operation == 'held by' then return table.concat(redis.call('SRANDMEMBER', KEYS[1], number()), ' ') end
if operation == 'look' then
  local found = {}
  for index, key in ipairs(KEYS) do found[index] = redis.call('GET', key) or '' end
  return table.concat(found, '\\n')
end
-- Frees the places of a reservation; its draws stay until somebody tells what they cost.
if operation == 'free' then
  local id = text()
  for index = 1, #KEYS - 1 do
    for place = 1, number() do redis.call('ZREM', KEYS[index], place .. ' ' .. id) end
  end
  redis.call('SREM', KEYS[#KEYS], id)
  return '1'
end
if operation == 'bury' then
  redis.call('ZREM', KEYS[1], text())
  return '1'
end

local told = text()
local now = told == '' and math.floor(micros / 1000) or math.floor(tonumber(told))
local latest = tonumber(redis.call('GET', KEYS[1]) or '0')
-- A clock that was ahead and was set right must not stop everything until its time has come.
local at = told == '' and latest - now > MAX_BACK_MS and now or math.max(now, latest)
redis.call('SET', KEYS[1], exact(at), 'PX', millis(LONG_MS))
local id, ttl, dry = text(), number(), text() == '1'
local buckets, slots, epoch = {}, {}, nil

local function used(b) return math.max(0, b.drawn - b.refill * (at - b.since)) end
local function rebase(b) b.drawn = used(b) b.since = at end
local function draw(b, amount)
  if b.drawn > MAX_DRAWN or used(b) == 0 then rebase(b) end
  b.drawn = b.drawn + amount
  b.changed = true
end
local function set_refill(b, refill)
  if b.refill == refill then return end
  rebase(b)
  b.refill = refill
  b.changed = true
end
local function fits(b, amount, capacity, elapsed)
  return math.max(0, b.drawn - b.refill * elapsed) + amount <= capacity + EPSILON
end
local function wait_for(b, amount, capacity)
  if not (amount <= capacity + EPSILON) then return INFINITY end
  local elapsed = at - b.since
  if fits(b, amount, capacity, elapsed) then return 0 end
  if not (b.refill > 0) then return INFINITY end
  local near = math.ceil((b.drawn + amount - capacity - EPSILON) / b.refill)
  if not fits(b, amount, capacity, near) then return near + 1 - elapsed end
  if fits(b, amount, capacity, near - 1) then return near - 1 - elapsed end
  return near - elapsed
end
local function full(refill, quiet) return { drawn = 0, since = at, refill = refill, quiet = quiet } end

local function read_bucket(index)
  local entry = { key = KEYS[2 + 2 * index], takings = KEYS[3 + 2 * index] }
  entry.budget, entry.ends, entry.spent = text() == '1', number(), tonumber(text())
  local raw = redis.call('GET', entry.key)
  local b, quiet = nil, -INFINITY
  if raw then
    local drawn, since, refill, until_, born = struct.unpack('<ddddd', raw)
    b, quiet = { drawn = drawn, since = math.min(since, at), refill = refill, quiet = until_, epoch = born }, until_
    if entry.budget and epoch and born ~= epoch then b, entry.stale = nil, true end
  end
  if not entry.stale and at >= quiet then
    local late = redis.call('ZRANGEBYSCORE', entry.takings, '-inf', exact(at), 'LIMIT', 0, MAX_EXPIRED)
    for _, taking in ipairs(late) do
      -- A taking from a budget may have been spent.
      if b and not entry.budget then draw(b, -tonumber(string.match(taking, '^%S+'))) end
      if not dry then redis.call('ZREM', entry.takings, taking) end
    end
    local first = redis.call('ZRANGE', entry.takings, 0, 0, 'WITHSCORES')
    quiet = first[2] and tonumber(first[2]) or INFINITY
    if b and not dry then b.quiet = quiet b.changed = true end
  end
  entry.quiet = entry.stale and INFINITY or quiet
  entry.bucket = b
  return entry
end
local function save()
  for _, entry in ipairs(buckets) do
    local b = entry.bucket
    if b and b.changed then
      local left = used(b)
      local px = b.refill > 0 and left / b.refill + GRACE_MS or LONG_MS
      local packed = struct.pack('<ddddd', b.drawn, b.since, b.refill, b.quiet, b.epoch or 0)
      if entry.budget then
        -- The gateway's clock, which tells the period, may be behind.
        redis.call('SET', entry.key, packed, 'PXAT', millis(math.max(entry.ends + DAY_MS, micros / 1000 + GRACE_MS)))
      else
        redis.call('SET', entry.key, packed, 'PX', millis(px))
      end
    end
  end
end
local function taking(index, amount) return exact(amount) .. ' ' .. index .. ' ' .. id end
local function keep(key, ms)
  if redis.call('PTTL', key) < ms + GRACE_MS / 2 then redis.call('PEXPIRE', key, millis(ms + GRACE_MS)) end
end

-- Draws granted elsewhere while Redis was lost.
if operation == 'charge' then
  local bucket_count = number()
  for index = 1, bucket_count do
    local entry, refill, amount = read_bucket(index), number(), number()
    entry.bucket = entry.bucket or full(refill, entry.quiet)
    draw(entry.bucket, amount)
    buckets[index] = entry
  end
  save()
  return '1'
end

if operation == 'settle' then
  local tomb, is_others = text() == '1', text() == '1'
  local bucket_count, slot_count, draw_count = number(), number(), number()
  local held = redis.call('GET', KEYS[3])
  if tomb and not held then redis.call('SET', KEYS[3], 'gone', 'PX', millis(ttl + GRACE_MS)) end
  if not held or held == 'gone' or tonumber(string.match(held, '^%S+')) <= at then return '0' end
  local expires, attempt = string.match(held, '^(%S+) (%S+)')
  local settled = string.match(held, '^%S+ %S+ !(.*)$')
  if settled and is_others then return '0' end
  redis.call('DEL', KEYS[3])
  redis.call('SREM', KEYS[#KEYS], id)
  local next_settled = settled and string.gmatch(settled, '%S+')
  local refunds, amounts = {}, {}
  for index = 1, bucket_count do buckets[index] = read_bucket(index) end
  for index = 1, draw_count do
    local entry, refill, amount, true_amount = buckets[number()], number(), number(), number()
    if next_settled then amount = tonumber(next_settled()) end
    local more = true_amount - amount
    -- A taking that is gone was lost with its bucket: the ledger's sum since then must not be lessened.
    local is_ours = amount ~= 0 and redis.call('ZREM', entry.takings, taking(index, amount)) == 1
    -- Its process may live after all, and its word counts.
    if is_ours and is_others and true_amount ~= 0 then
      redis.call('ZADD', entry.takings, expires, taking(index, true_amount))
    end
    amounts[index] = exact(true_amount)
    if more > 0 and (entry.bucket or not entry.budget) then
      entry.bucket = entry.bucket or full(refill, entry.quiet)
      draw(entry.bucket, more)
    elseif more < 0 and is_ours then
      refunds[#refunds + 1] = { entry, more }
    end
  end
  for _, refund in ipairs(refunds) do if refund[1].bucket then draw(refund[1].bucket, refund[2]) end end
  save()
  for index = 1, slot_count do
    local key, count = KEYS[3 + 2 * bucket_count + index], number()
    for place = 1, count do redis.call('ZREM', key, place .. ' ' .. id) end
  end
  if is_others then
    local left = math.max(1, tonumber(expires) - at)
    redis.call('SET', KEYS[3], expires .. ' ' .. attempt .. ' !' .. table.concat(amounts, ' '), 'PX', millis(left))
  end
  return '1'
end

local attempt, holding, suspect, settle_ms, has_budgets = text(), text(), text() == '1', number(), text() == '1'
local bucket_count, slot_count, draw_count = number(), number(), number()
local held = redis.call('GET', KEYS[3])
-- Clients send a command again that was on its way when their connection broke, though it may have arrived.
local is_again = held and string.match(held, '^%S+ (%S+)') == attempt
if held and not is_again and (held == 'gone' or tonumber(string.match(held, '^%S+')) > at) then return 'held' end

if has_budgets then
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
  local raw = redis.call('GET', KEYS[2])
  local number_, born, known_run = string.match(raw or '', '^(%d+) (%d+) (%w*)$')
  epoch, born = tonumber(number_), tonumber(born)
  local is_lost = not epoch or run ~= known_run or (run == '' and suspect)
  if is_lost then epoch = math.max(micros, (epoch or 0) + 1) end
  if is_lost or born > micros then
    born = micros
    redis.call('SET', KEYS[2], string.format('%.0f %.0f %s', epoch, born, run))
  end
  redis.call('PEXPIRE', KEYS[2], millis(LONG_MS))
  if micros - born < settle_ms * 1000 then return 'young' end
end

for index = 1, bucket_count do buckets[index] = read_bucket(index) end
local draws, wanted, unknown, draws_ms, slots_ms = {}, {}, false, 0, 0
for index = 1, draw_count do
  local d = { at = number(), capacity = number(), refill = number(), amount = number() }
  draws[index] = d
  d.entry = buckets[d.at]
  wanted[d.at] = (wanted[d.at] or 0) + d.amount
  if d.entry.budget and not d.entry.bucket and not d.entry.spent then unknown = true end
end
if not unknown then
  for _, d in ipairs(draws) do
    local entry = d.entry
    if entry.budget and not entry.bucket then
      entry.bucket = { drawn = entry.spent, since = at, refill = d.refill, quiet = INFINITY, epoch = epoch, changed = true }
      -- Takings of an epoch that is over are not given back in this one.
      if not dry then redis.call('DEL', entry.takings) end
    end
    local wait = 0
    if d.amount < 0 then wait = INFINITY
    elseif d.amount > 0 then
      if entry.bucket then set_refill(entry.bucket, d.refill) end
      wait = wait_for(entry.bucket or full(d.refill), wanted[d.at], d.capacity)
    end
    draws_ms = math.max(draws_ms, wait)
  end
  for index = 1, slot_count do
    local s = { key = KEYS[3 + 2 * bucket_count + index], capacity = number(), count = number() }
    slots[index] = s
    if not (s.count <= s.capacity) then slots_ms = INFINITY
    elseif redis.call('ZCOUNT', s.key, '(' .. exact(at), '+inf') + s.count > s.capacity then
      slots_ms = math.max(slots_ms, 1000)
    end
  end
end
local wait = slots_ms
if draws_ms ~= 0 and slots_ms ~= INFINITY then wait = draws_ms end
if is_again then wait = 0 end
local granted = not unknown and wait == 0

if granted and not dry and not is_again then
  local expires, is_held = at + ttl, slot_count > 0
  for index, d in ipairs(draws) do
    if d.amount ~= 0 then
      is_held = true
      local entry = d.entry
      entry.bucket = entry.bucket or full(d.refill, entry.quiet)
      draw(entry.bucket, d.amount)
      entry.bucket.quiet = math.min(entry.bucket.quiet, expires)
      redis.call('ZADD', entry.takings, exact(expires), taking(index, d.amount))
      keep(entry.takings, ttl)
    end
  end
  for _, s in ipairs(slots) do
    redis.call('ZREMRANGEBYSCORE', s.key, '-inf', exact(at))
    for place = 1, s.count do redis.call('ZADD', s.key, exact(expires), place .. ' ' .. id) end
    keep(s.key, ttl)
  end
  if is_held then
    redis.call('SET', KEYS[3], exact(expires) .. ' ' .. attempt .. ' ' .. holding, 'PX', millis(ttl + GRACE_MS))
    redis.call('SADD', KEYS[#KEYS], id)
    keep(KEYS[#KEYS], ttl)
  end
end
if not dry then save() end

local answer = { granted and '1' or '0', unknown and '1' or '0', exact(wait == 0 and 0 or wait + (at - now)) }
for _, d in ipairs(draws) do
  local b = d.entry.bucket
  answer[#answer + 1] = exact(d.capacity - (b and used(b) or 0))
end
return table.concat(answer, ' ')
`;
