-- Publishes the average of what each topic has brought, every `period` seconds.
--
--   average:
--     plugin: lua
--     subscribe: site/+/temperature
--     options:
--       script: /etc/fastmqttd/average.lua
--       parameters: {period: 60}

local sums = {}

function on_message(msg)
  local value = msg:number()
  if not value then return "reject", "the payload is no number" end
  local sum = sums[msg.topic] or {total = 0, count = 0}
  sum.total = sum.total + value
  sum.count = sum.count + 1
  sums[msg.topic] = sum
end

timer.every(tonumber(parameters.period or 60), function()
  for topic, sum in pairs(sums) do
    mqtt.publish("average/" .. topic, string.format("%.2f", sum.total / sum.count))
  end
  sums = {}
end)
