#!/usr/bin/env bash
# A node: a network namespace with one cable to the bridge, plus pid, mount, host name and ipc namespaces, plus a cgroup.
# Its process 1 is node-init; when that dies, the kernel kills everything else in the node.
# shellcheck disable=SC2154  # settings.sh

# node_mac NUMBER: a fixed address for each end. A bridge otherwise takes the lowest address of its ports and changes it
# when a node joins, and what the others know of it is wrong for up to 45 s.
node_mac() { printf '%s:%02x' "$MAC_PREFIX" "$1"; }

make_bridge() {
  ip link show "$BRIDGE" >/dev/null 2>&1 || ip link add "$BRIDGE" address "$(node_mac 1)" type bridge
  ip addr replace "$API/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
}

make_node_network() {
  local node=$1 other number=$((10 + ${1#n}))
  [ -e "/run/netns/$NAME-$node" ] || ip netns add "$NAME-$node"
  ip link show "$NAME-$node" >/dev/null 2>&1 || ip link add "$NAME-$node" type veth \
    peer name eth0 address "$(node_mac $number)" netns "$NAME-$node"
  ip link set "$NAME-$node" master "$BRIDGE"
  ip -n "$NAME-$node" addr replace "$(node_ip "$node")/24" dev eth0
  ip -n "$NAME-$node" link set lo up
  ip -n "$NAME-$node" link set eth0 up
  ip -n "$NAME-$node" route replace default via "$API"
  for other in $(nodes); do
    [ "$other" = "$node" ] || ip -n "$NAME-$node" route replace "$(pod_cidr "$other")" via "$(node_ip "$other")"
  done
  nsenter --net="/run/netns/$NAME-$node" sysctl -qw net.ipv4.ip_forward=1
  ip route replace "$(pod_cidr "$node")" via "$(node_ip "$node")" # from this machine to the pods
  plug_cable "$node"
}

remove_node_network() {
  drop_link "$NAME-$1"
  drop_namespace "$NAME-$1"
}

# What a node finds at its first start: configuration, certificates by path, the pause image.
make_node_files() {
  local node=$1 folder=$STATE/nodes/$1
  mkdir -p "$folder"/{var-lib,var-log,cni,images}
  cp "$BIN/pause.tar" "$folder/images/"
  tr -d - </proc/sys/kernel/random/uuid >"$folder/machine-id"
  make_kubeconfig "$folder/kubelet.kubeconfig" "node-$node"
  make_kubeconfig "$folder/proxy.kubeconfig" proxy
  cat >"$folder/variables" <<TEXT
NODE=$node FOLDER=$folder BIN="$BIN" IP=$(node_ip "$node") DNS=$API
HTTP2_IDLE=$HTTP2_IDLE HTTP2_PING=$HTTP2_PING
LABELS=topology.kubernetes.io/zone=zone-$node
TEXT
  containerd_configuration "$folder" >"$folder/containerd.toml"
  cni_configuration "$node" >"$folder/cni/muster.conflist"
  kubelet_configuration "$node" >"$folder/kubelet.yaml"
  proxy_configuration "$folder" >"$folder/kube-proxy.yaml"
}

containerd_configuration() {
  cat <<TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "muster.local/pause:1"
  # Otherwise runc dies where root has no CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_folder)"
    conf_dir = "$1/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
TOML
}

# Debian's folder, then the one of upstream.
cni_folder() {
  local folder
  for folder in /usr/lib/cni /opt/cni/bin; do
    if [ -x $folder/ptp ] && [ -x $folder/host-local ]; then
      echo $folder
      return
    fi
  done
}

cni_configuration() {
  cat <<JSON
{"cniVersion": "1.0.0", "name": "muster", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500,
   "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "$(pod_cidr "$1")"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

kubelet_configuration() {
  cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/node-$1.crt
tlsPrivateKeyFile: $STATE/pki/node-$1.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$NAME/$1
failCgroupV1: false
failSwapOn: false
clusterDNS: [$API]
clusterDomain: cluster.local
resolvConf: /run/resolv.conf
nodeStatusUpdateFrequency: $STATUS_PERIOD
nodeLeaseDurationSeconds: $LEASE
# The disk is the developer's: pods are never evicted, nor images collected, because it is full.
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
volumePluginDir: /var/lib/kubelet/volumeplugins
readOnlyPort: 0
maxPods: 60
registryPullQPS: 0
kubeAPIQPS: 100
kubeAPIBurst: 200
YAML
}

proxy_configuration() {
  cat <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $POD_NET.0.0/16
clientConnection: {kubeconfig: $1/proxy.kubeconfig}
# 0 leaves them alone: a network namespace may not set the limits of the machine.
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
YAML
}

# The cgroup of a node's own processes. Version 2 allows none beside child groups, and pods are child groups.
node_group() {
  if [ $CGROUP_VERSION = 2 ]; then echo "$NAME/$1/system"; else echo "$NAME/$1"; fi
}

node_pid() { cat "$STATE/nodes/$1/pid" 2>/dev/null; }

# A node is on when its process 1 lives and is really ours: the number could have been given to another.
is_on() { cgroup_pids "$NAME/$1" | grep -qx "$(node_pid "$1" || echo none)"; }

power_on() {
  local node=$1 folder=$STATE/nodes/$1 outer
  ! is_on "$node" || return 0
  make_cgroup "$(node_group "$node")"
  make_node_network "$node"
  # Not `ip netns exec`: it mounts a /sys of its own, and the cgroups are gone from it.
  spawn "$(node_group "$node")" "$folder/node.log" nsenter --net="/run/netns/$NAME-$node" \
    unshare --pid --mount --uts --ipc --fork --kill-child --mount-proc \
    "$CLUSTER_LIB/node-init" "$folder/variables"
  outer=$!
  # Process 1 is a child of unshare, which is $outer; found by name because until the exec $outer is a shell.
  wait_for 10 pgrep -P $outer -f node-init || die "the node $node did not start: see $folder/node.log"
  pgrep -P $outer -f node-init >"$folder/pid"
}

power_off() {
  local node=$1
  # The cable first: a machine that loses its power says no FIN and no RST.
  if is_on "$node"; then
    ip link set "$NAME-$node" down || die "the cable of $node could not be taken"
    # It may die by itself in this moment; what is left is the cgroup's to kill.
    kill -KILL "$(node_pid "$node")" 2>/dev/null || ! is_on "$node" || die "$node could not be killed"
  fi
  kill_cgroup "$NAME/$node"
  rm -f "$STATE/nodes/$node/pid"
  remove_node_network "$node"
}

# run_in NODE COMMAND...: in the node's namespaces and cgroup, so that it dies with the node.
run_in() {
  local node=$1
  shift
  is_on "$node" || die "the node $node is off: hack/cluster on $node"
  (
    join_cgroup "$(node_group "$node")" $BASHPID
    exec nsenter --target "$(node_pid "$node")" --mount --pid --net --uts --ipc -- "$@"
  )
}

is_registered() { [ "$(admin_kubectl get nodes -o name | wc -l)" = "$COUNT" ]; }

wait_for_nodes() {
  [ "$COUNT" != 0 ] || return 0
  wait_for 60 is_registered ||
    die "only $(admin_kubectl get nodes -o name | wc -l) of $COUNT nodes registered within 60 s: see $STATE/nodes/*/kubelet.log"
  # Without the lock, or it would be held for two minutes after a kill.
  admin_kubectl wait --for=condition=Ready node --all --timeout=120s >/dev/null 9>&- ||
    die "not every node became Ready within 120 s: see $STATE/nodes/*/kubelet.log"
}
