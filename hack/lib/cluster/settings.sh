#!/usr/bin/env bash
# Names, addresses, folders and timing of the cluster, and the few helpers that every part uses; sourced after setup.sh.
# shellcheck disable=SC2034  # used by those who source this

CLUSTER_LIB=$MUSTER_ROOT/hack/lib/cluster
CLUSTER_CACHE=$MUSTER_CACHE/cluster
STATE=${MUSTER_CLUSTER_STATE:-$CLUSTER_CACHE/state}
NAME=muster # of the cgroup, the bridge, the network namespaces and the nftables table
BRIDGE=${NAME}0
LOCK=/run/lock/muster-cluster
COMPONENTS="etcd kube-apiserver kube-controller-manager kube-scheduler coredns"
KUBERNETES_PROGRAMS="kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl kube-proxy"

# A cluster keeps the settings that it was started with, whatever the environment says later.
load_settings() {
  NET=${MUSTER_CLUSTER_NET:-10.90}
  TIMING=${MUSTER_CLUSTER_TIMING:-fast}
  KUBERNETES=${MUSTER_CLUSTER_KUBERNETES:-1.34}
  COUNT=0 BIN=
  if [ -s "$STATE/settings" ]; then read -r COUNT NET TIMING KUBERNETES BIN <"$STATE/settings"; fi
  [[ $STATE =~ ^/[A-Za-z0-9_./-]+$ ]] ||
    die "MUSTER_CLUSTER_STATE is '$STATE'; it must be an absolute path of letters, digits and . _ - /"
  [[ $NET =~ ^([1-9][0-9]{0,2})\.([0-9]{1,3})$ ]] && [ "${BASH_REMATCH[1]}" -le 223 ] && [ "${BASH_REMATCH[2]}" -le 253 ] ||
    die "MUSTER_CLUSTER_NET is '$NET'; it must be two bytes such as 10.90, the second at most 253"
  local first=${NET%.*} second=${NET#*.}
  NODE_NET=$NET.0
  POD_NET=$first.$((second + 1))
  SERVICE_NET=$first.$((second + 2))
  API=$NODE_NET.1
  SERVICE_API=$SERVICE_NET.0.1
  MAC_PREFIX=$(printf '02:00:%02x:%02x:00' "$first" "$second")
  load_timing
  [ -d "$CLUSTER_LIB/tools/kubernetes-$KUBERNETES" ] ||
    die "MUSTER_CLUSTER_KUBERNETES is '$KUBERNETES'; it must be one of: $(kubernetes_versions)"
  BIN=${BIN:-$CLUSTER_CACHE/bin-$KUBERNETES-$(build_key)}
}

# How soon a dead node is seen. The kubelet renews its lease every quarter of LEASE seconds.
load_timing() {
  case $TIMING in
    fast) STATUS_PERIOD=1s LEASE=4 GRACE=4s MONITOR=1s HTTP2_IDLE=2 HTTP2_PING=1 ;;
    fastest) STATUS_PERIOD=500ms LEASE=2 GRACE=2s MONITOR=250ms HTTP2_IDLE=1 HTTP2_PING=1 ;;
    default) STATUS_PERIOD=10s LEASE=40 GRACE=50s MONITOR=5s HTTP2_IDLE=30 HTTP2_PING=15 ;;
    *) die "MUSTER_CLUSTER_TIMING is '$TIMING'; it must be fast, fastest or default" ;;
  esac
}

say() { printf '%6.1f s  %s\n' "$(awk -v began="$BEGAN" '{print $1 - began}' /proc/uptime)" "$*"; }
read -r BEGAN _ </proc/uptime

# wait_for SECONDS COMMAND...: polls ten times a second; false when the time is over.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

admin_kubectl() { "$BIN/kubectl" --kubeconfig="$STATE/kubeconfig" "$@"; }

api_is_ready() { admin_kubectl get --raw=/readyz; }

nodes() { [ "$COUNT" = 0 ] || seq -f n%g 1 "$COUNT"; }

# require_node NAME: dies unless the cluster has such a node.
require_node() {
  [[ $1 =~ ^n([1-9][0-9]?)$ ]] && [ "${BASH_REMATCH[1]}" -le "$COUNT" ] ||
    die "there is no node '$1'; the nodes are: $(nodes | tr '\n' ' ')"
}

node_ip() { echo "$NODE_NET.$((10 + ${1#n}))"; }
pod_cidr() { echo "$POD_NET.${1#n}.0/24"; }

# Three that remove what may be there. What is not there is fine, also when it goes in this moment, as a link does with
# its other end; what is there and stays is an error.
drop_link() {
  [ -e "/sys/class/net/$1" ] || return 0
  ip link del "$1" 2>/dev/null || [ ! -e "/sys/class/net/$1" ] || die "the network link $1 cannot be removed"
}

drop_namespace() {
  [ -e "/run/netns/$1" ] || return 0
  ip netns del "$1" || die "the network namespace $1 cannot be removed"
}

drop_rules() {
  ! nft list table bridge $NAME >/dev/null 2>&1 || nft delete table bridge $NAME ||
    die "the nftables table bridge $NAME cannot be removed"
}
