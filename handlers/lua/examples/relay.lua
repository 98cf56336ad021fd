-- Switches the relay of a room on below `low` and off above `high`; between the two it stays as it
-- is, so that it does not flutter.
--
--   relay:
--     plugin: lua
--     subscribe: home/+/temperature
--     options:
--       script: /etc/fastmqttd/relay.lua
--       parameters: {low: 19, high: 21}

local low = tonumber(parameters.low or 19)
local high = tonumber(parameters.high or 21)
assert(low and high and low < high, "low and high: expected numbers, low below high")

local relays = {} -- what each room was told last

function on_message(msg)
  local degrees = msg:number()
  if not degrees then return "reject", "the payload is no number" end
  local room = msg.levels[2]
  local wanted = degrees < low and "on" or degrees > high and "off" or relays[room]
  if wanted == relays[room] then return end
  mqtt.publish("home/" .. room .. "/relay/set", wanted, {retain = true})
  relays[room] = wanted
end
