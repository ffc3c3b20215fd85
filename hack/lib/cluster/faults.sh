#!/usr/bin/env bash
# Cut cables, one-way links and links between two nodes, and a machine that hangs. What is cut is listed in one file,
# `NODE DIRECTION PEER` a line, and cables and nftables rules are made from it; a cut lasts until it is healed, also
# when the node is switched off and on again.
# shellcheck disable=SC2154  # settings.sh

# cut_node NODE [--in|--out] [--to NODE|control]
cut_node() {
  local node=$1 direction=both peer=all
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --in) direction=in ;;
      --out) direction=out ;;
      --to)
        peer=${2-}
        require_peer "$node" "$peer"
        shift
        ;;
      *) die "cut: '$1' is not one of --in, --out, --to NODE, --to control" ;;
    esac
    shift
  done
  echo "$node $direction $peer" >>"$STATE/cuts"
  sort -u -o "$STATE/cuts" "$STATE/cuts"
  apply_cuts
}

# heal_node NODE [--to NODE|control]: everything that cuts the node, or only what lies between the two.
heal_node() {
  local node=$1 peer=
  shift
  if [ "${1-}" = --to ]; then
    peer=${2-}
    require_peer "$node" "$peer"
  elif [ $# -gt 0 ]; then
    die "heal: '$1' is not --to NODE or --to control"
  fi
  [ -e "$STATE/cuts" ] || return 0
  awk -v node="$node" -v peer="$peer" '
    peer == "" && ($1 == node || $3 == node) { next }
    peer != "" && (($1 == node && $3 == peer) || ($1 == peer && $3 == node)) { next }
    { print }' "$STATE/cuts" >"$STATE/cuts.next"
  mv "$STATE/cuts.next" "$STATE/cuts"
  apply_cuts
}

require_peer() {
  [ "$2" != "$1" ] || die "--to '$2': a node cannot be cut from itself"
  [ "$2" = control ] || require_node "$2"
}

cuts_of() {
  if [ -s "$STATE/cuts" ]; then awk -v node="$1" '$1 == node || $3 == node' "$STATE/cuts"; fi
}

# The cable is out when all is cut both ways.
plug_cable() {
  if grep -qsx "$1 both all" "$STATE/cuts"; then
    ip link set "$NAME-$1" down
  else
    ip link set "$NAME-$1" up
  fi
}

# Rules of the bridge see frames of every protocol, so that address resolution is cut as well. Replaced as a whole, at
# one moment.
apply_cuts() {
  local node
  if grep -qvE '^n[0-9]+ both all$' "$STATE/cuts"; then
    {
      printf 'table bridge %s\ndelete table bridge %s\ntable bridge %s {\n' "$NAME" "$NAME" "$NAME"
      chain_of prerouting '$2 == "out" && $3 == "all"' 'from($1)'
      chain_of postrouting '$2 == "in" && $3 == "all"' 'to($1)'
      chain_of input '$2 != "in" && $3 == "control"' 'from($1)'
      chain_of output '$2 != "out" && $3 == "control"' 'to($1)'
      chain_of forward '$2 != "in" && $3 ~ /^n/' 'from($1) to($3)'
      chain_of forward '$2 != "out" && $3 ~ /^n/' 'from($3) to($1)'
      printf '}\n'
    } | nft -f - || die "nft refused the rules for $STATE/cuts"
  else
    drop_rules
  fi
  for node in $(nodes); do
    if is_on "$node"; then plug_cable "$node"; fi
  done
}

# chain_of HOOK CONDITION MATCH: the lines of the list that fulfil the condition, each as a rule that drops.
chain_of() {
  awk -v hook="$1" -v name="$NAME" "
    function from(node) { return \"iifname \\\"\" name \"-\" node \"\\\" \" }
    function to(node) { return \"oifname \\\"\" name \"-\" node \"\\\" \" }
    BEGIN { print \"chain \" hook \" { type filter hook \" hook \" priority 0;\" }
    $2 { print $3 \"drop\" }
    END { print \"}\" }" "$STATE/cuts"
}

freeze_node() {
  is_on "$1" || die "the node $1 is off; only a node that is on can hang"
  freeze_cgroup "$NAME/$1" 1
}

thaw_node() {
  is_on "$1" || die "the node $1 is off; only a node that is on can be thawed"
  freeze_cgroup "$NAME/$1" 0
}

# compact_etcd: forgets every past revision, so that a watch or a list that wants one is answered 410. The API server may
# be stopped meanwhile: etcd itself says which revision is the last.
compact_etcd() {
  local revision answer
  revision=$(ask_etcd range '{"key": "Lw==", "keys_only": true, "limit": 1}' | grep -oE '"revision":"[0-9]+"' |
    head -n 1 | tr -dc 0-9)
  [ -n "$revision" ] || die "compact: etcd did not say its revision"
  answer=$(ask_etcd compaction "{\"revision\": \"$revision\", \"physical\": true}") ||
    [[ $answer = *"has been compacted"* ]] ||
    die "compact: etcd refused to forget what is older than revision $revision: $answer"
}

# ask_etcd WHAT BODY: one call of etcd's JSON gateway.
ask_etcd() {
  local pki=$STATE/pki
  curl -sS --fail-with-body --max-time 10 --cacert "$pki/etcd-ca.crt" --cert "$pki/etcd-client.crt" --key "$pki/etcd-client.key" \
    "https://127.0.0.1:12379/v3/kv/$1" -d "$2"
}
