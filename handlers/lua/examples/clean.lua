-- Takes readings as devices send them, and publishes those that make sense in one form, below
-- clean/, for handlers that store them:
--
--   raw/kitchen/dht22   {"temp_f": 70.7, "hum": null}
--   clean/kitchen       {"celsius":21.5,"device":"dht22","time":1700000000}
--
--   clean:
--     plugin: lua
--     subscribe: raw/+/+
--     options:
--       script: /etc/fastmqttd/clean.lua

function on_message(msg)
  local reading, problem = msg:json()
  if not reading then return "reject", problem end
  if type(reading) ~= "table" then return "reject", "no JSON object" end
  local fahrenheit = reading.temp_f
  if fahrenheit == nil or fahrenheit == json.null then return end -- not of interest: done
  if type(fahrenheit) ~= "number" then return "reject", "temp_f is no number" end
  local celsius = (fahrenheit - 32) / 1.8
  if celsius < -50 or celsius > 100 then
    log.warning("not stored, the sensor seems to be broken:", celsius)
    return
  end
  mqtt.publish("clean/" .. msg.levels[2], json.encode {
    device = msg.levels[3],
    celsius = math.floor(celsius * 100 + 0.5) / 100,
    time = math.floor(msg.received),
  }, {content_type = "application/json"})
end
