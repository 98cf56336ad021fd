#!/usr/bin/env python3
"""For exec with persistent: publishes the running average of the numbers on each topic.

    average:
      plugin: exec
      subscribe: site/+/temperature
      options: {command: [/usr/local/lib/average.py], persistent: true, parallel: 16}
"""
import json
import sys


def say(what):
    print(json.dumps(what), flush=True)


sums = {}
for line in sys.stdin:
    message = json.loads(line)
    topic = message["topic"]
    try:
        number = float(message["payload"])
    except (KeyError, ValueError):
        say({"id": message["id"], "result": "reject", "reason": "no number"})
        continue
    total, count = sums.get(topic, (0.0, 0))
    sums[topic] = (total + number, count + 1)
    average = (total + number) / (count + 1)
    say({"id": message["id"], "publish": {"topic": topic + "/average", "payload": f"{average:g}"}})
