#!/bin/sh
# For exec: appends the payload, with its time and topic, to a file of the day.
#
#   diary:
#     plugin: exec
#     subscribe: diary/#
#     options: {command: [/usr/local/lib/append.sh, "/var/lib/fastmqttd/{time:%F}"]}
set -eu
printf '%s %s %s\n' "$(date +%T)" "$MQTT_TOPIC" "$(cat)" >>"$1"
