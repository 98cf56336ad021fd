# fish completion of fastmqttctl(1); see complete(1) of fish.

function __fastmqttctl_handlers
    fastmqttctl handlers 2>/dev/null | awk 'NR > 1 { print $1 }'
end

# Those that are gone, with something left behind.
function __fastmqttctl_gone
    fastmqttctl status 2>/dev/null | sed -n 's/.* for the handler \(.*\), which is not configured$/\1/p'
end

function __fastmqttctl_letters
    fastmqttctl dead-letters list 2>/dev/null | awk 'NR > 1 && $1 ~ /^[0-9]+$/ { print $1 }'
end

set -l commands status handlers route match try tail top reload log-level dead-letters pause resume forget
set -l first "not __fish_seen_subcommand_from $commands"
complete -c fastmqttctl -f
complete -c fastmqttctl -l socket -r -F -d 'Where the daemon is reached'
complete -c fastmqttctl -n $first -l version -d 'Print the version'
complete -c fastmqttctl -n $first -a status -d 'Connection, spool and handlers on one screen'
complete -c fastmqttctl -n $first -a handlers -d 'A row for each handler'
complete -c fastmqttctl -n $first -a route -d 'Which handlers a topic reaches'
complete -c fastmqttctl -n $first -a match -d 'Whether a filter matches a topic'
complete -c fastmqttctl -n $first -a try -d 'Give a plugin one message, without a daemon'
complete -c fastmqttctl -n $first -a tail -d 'Deliveries as they are answered'
complete -c fastmqttctl -n $first -a top -d 'What the handlers do, each second'
complete -c fastmqttctl -n $first -a reload -d 'Take up the changed configuration'
complete -c fastmqttctl -n $first -a log-level -d 'What is logged, until the next reload'
complete -c fastmqttctl -n $first -a dead-letters -d 'Messages that were given up'
complete -c fastmqttctl -n $first -a pause -d 'Let the messages of a handler wait'
complete -c fastmqttctl -n $first -a resume -d 'Give a handler its messages again'
complete -c fastmqttctl -n $first -a forget -d 'Delete what waits for a handler that is gone'
complete -c fastmqttctl -n '__fish_seen_subcommand_from status handlers route tail list show' -l json -d 'As JSON'
complete -c fastmqttctl -n '__fish_seen_subcommand_from pause resume' -a '(__fastmqttctl_handlers)'
complete -c fastmqttctl -n '__fish_seen_subcommand_from forget' -a '(__fastmqttctl_gone)'
complete -c fastmqttctl -n '__fish_seen_subcommand_from show replay drop' -a '(__fastmqttctl_letters)'
complete -c fastmqttctl -n '__fish_seen_subcommand_from log-level' -a '(__fastmqttctl_handlers) debug info warning error'
complete -c fastmqttctl -n '__fish_seen_subcommand_from dead-letters; and not __fish_seen_subcommand_from list show replay drop' -a 'list show replay drop'
complete -c fastmqttctl -n '__fish_seen_subcommand_from list replay drop' -l handler -x -a '(__fastmqttctl_handlers)' -d 'Of this handler only'
complete -c fastmqttctl -n '__fish_seen_subcommand_from replay drop' -l all -d 'All there are'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -F -a '(__fish_complete_suffix .so)'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l topic -x -d 'Its topic'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l payload -r -d 'Its payload, or @FILE'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l options -r -d 'Options in YAML, or @FILE'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l qos -x -a '0 1 2' -d 'Its QoS'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l retain -d 'As a retained message'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l content-type -x -d 'Its content type'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l response-topic -x -d 'Where an answer is wanted'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l correlation-data -x -d 'What goes with an answer'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l user-property -x -d 'NAME=VALUE'
complete -c fastmqttctl -n '__fish_seen_subcommand_from try' -l timeout -x -d 'For the call'
