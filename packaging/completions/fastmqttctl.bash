# bash completion of fastmqttctl(1); see bash(1), Programmable Completion.

_fastmqttctl_handlers() {
  fastmqttctl "${socket[@]}" handlers 2>/dev/null | awk 'NR > 1 { print $1 }'
}

# Those that are gone, with something left behind.
_fastmqttctl_gone() {
  fastmqttctl "${socket[@]}" status 2>/dev/null | sed -n 's/.* for the handler \(.*\), which is not configured$/\1/p'
}

_fastmqttctl_letters() {
  fastmqttctl "${socket[@]}" dead-letters list 2>/dev/null | awk 'NR > 1 && $1 ~ /^[0-9]+$/ { print $1 }'
}

_fastmqttctl() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  local command="" sub="" socket=() i words=""
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      --socket) socket=(--socket "${COMP_WORDS[++i]}") ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; elif [[ -z $sub ]]; then sub=${COMP_WORDS[i]}; fi ;;
    esac
  done
  case $before in
    --socket | --payload | --options) COMPREPLY=($(compgen -f -- "$current")); return ;;
    --handler) COMPREPLY=($(compgen -W "$(_fastmqttctl_handlers)" -- "$current")); return ;;
    --qos) COMPREPLY=($(compgen -W "0 1 2" -- "$current")); return ;;
  esac
  case $command in
    "") words="status handlers route match try tail top reload log-level dead-letters pause resume forget --socket --version --help" ;;
    status | handlers | route | tail) words="--json" ;;
    pause | resume) words=$(_fastmqttctl_handlers) ;;
    forget) words=$(_fastmqttctl_gone) ;;
    log-level) words="$([[ -z $sub ]] && _fastmqttctl_handlers) debug info warning error" ;;
    try)
      words="--topic --payload --options --qos --retain --content-type --response-topic --correlation-data --user-property --timeout"
      [[ $current == -* ]] || { COMPREPLY=($(compgen -f -X '!*.so' -- "$current") $(compgen -d -- "$current")); return; }
      ;;
    dead-letters)
      case $sub in
        "") words="list show replay drop" ;;
        list) words="--handler --json" ;;
        show) words="--json $(_fastmqttctl_letters)" ;;
        *) words="--all --handler $(_fastmqttctl_letters)" ;;
      esac
      ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}

complete -F _fastmqttctl fastmqttctl
