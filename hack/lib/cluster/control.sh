#!/usr/bin/env bash
# The control plane: etcd, API server, controllers, scheduler and DNS, each a process on this machine in a cgroup of its
# own, so that each can be killed and started alone.
# shellcheck disable=SC2154,SC2054  # settings.sh; commas inside arguments

require_component() {
  case " $COMPONENTS " in
    *" $1 "*) ;;
    *) die "there is no component '$1'; the components are: $COMPONENTS" ;;
  esac
}

start_component() {
  local name=$1 group=$NAME/control/$1
  require_component "$name"
  [ -z "$(cgroup_pids "$group")" ] || return 0
  component_arguments=()
  "arguments_of_${name//-/_}"
  make_cgroup "$group"
  spawn "$group" "$STATE/log/$name.log" "$BIN/$name" "${component_arguments[@]}"
}

# As a crash: SIGKILL, nothing is said to anyone.
stop_component() {
  require_component "$1"
  kill_cgroup "$NAME/control/$1"
}

arguments_of_etcd() {
  local pki=$STATE/pki
  (umask 077 && mkdir -p "$STATE/etcd")
  # A machine that loses its power loses the cluster too, so nothing is gained by waiting for the disk.
  component_arguments=(--name=etcd --data-dir="$STATE/etcd" --unsafe-no-fsync --log-level=warn
    --listen-client-urls=https://127.0.0.1:12379 --advertise-client-urls=https://127.0.0.1:12379
    --listen-peer-urls=http://127.0.0.1:12380 --initial-advertise-peer-urls=http://127.0.0.1:12380
    --initial-cluster=etcd=http://127.0.0.1:12380 --client-cert-auth
    --trusted-ca-file="$pki/etcd-ca.crt" --cert-file="$pki/etcd.crt" --key-file="$pki/etcd.key")
}

arguments_of_kube_apiserver() {
  local pki=$STATE/pki
  component_arguments=(--bind-address="$API" --advertise-address="$API" --secure-port=6443
    --etcd-servers=https://127.0.0.1:12379 --etcd-cafile="$pki/etcd-ca.crt"
    --etcd-certfile="$pki/etcd-client.crt" --etcd-keyfile="$pki/etcd-client.key"
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt"
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --anonymous-auth=false
    --allow-privileged=true --service-cluster-ip-range="$SERVICE_NET.0.0/16"
    --service-account-issuer=https://kubernetes.default.svc.cluster.local
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key"
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP
    --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt"
    --kubelet-client-key="$pki/apiserver-kubelet-client.key"
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group
    --requestheader-extra-headers-prefix=X-Remote-Extra-
    --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key"
    --profiling=false --v=1)
  # A policy that somebody put there (hack/bench/operator), for the next start.
  [ ! -s "$STATE/audit.yaml" ] || component_arguments+=(--audit-policy-file="$STATE/audit.yaml"
    --audit-log-path="$STATE/log/audit.log" --audit-log-maxsize=8000)
}

# controller_arguments NAME: what the controller manager and the scheduler have in common.
controller_arguments() {
  local config=$STATE/$1.kubeconfig
  component_arguments=(--kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config"
    --bind-address="$API" --leader-elect=false --kube-api-qps=200 --kube-api-burst=400 --profiling=false --v=1)
}

arguments_of_kube_controller_manager() {
  local pki=$STATE/pki
  controller_arguments controller-manager
  component_arguments+=(--use-service-account-credentials=true
    --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/sa.key"
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
    --node-monitor-period="$MONITOR" --node-monitor-grace-period="$GRACE")
  # By default one node in 10 s gets the NoExecute taint, and none when most of a small cluster is gone.
  component_arguments+=(--node-eviction-rate=10 --secondary-node-eviction-rate=10
    --unhealthy-zone-threshold=1 --large-cluster-size-threshold=1)
}

arguments_of_kube_scheduler() { controller_arguments scheduler; }

arguments_of_coredns() {
  cat >"$STATE/Corefile" <<CONFIG
.:53 {
  bind $API
  errors
  ready $API:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $STATE/coredns.kubeconfig
    pods insecure
    ttl 1
  }
}
CONFIG
  component_arguments=(-conf "$STATE/Corefile")
}

dns_is_ready() {
  local answer
  exec 3<>"/dev/tcp/$API/8181" || return 1
  printf 'GET /ready HTTP/1.0\r\n\r\n' >&3
  read -r answer <&3
  exec 3>&-
  [[ $answer == *" 200 "* ]]
}

# Waits for the API server, and says why at once when it or etcd gave up.
wait_for_api() {
  local began=$SECONDS name
  until api_is_ready >/dev/null 2>&1; do
    sleep 0.1
    [ $SECONDS -gt $((began + 1)) ] || continue
    for name in etcd kube-apiserver; do
      [ -n "$(cgroup_pids "$NAME/control/$name")" ] ||
        die "$name ended: $(tail -n 1 "$STATE/log/$name.log" | cut -c1-300)"
    done
    [ $SECONDS -lt $((began + 90)) ] ||
      die "the API server is not ready after 90 s: see $STATE/log/kube-apiserver.log"
  done
}

start_control_plane() {
  local name
  start_component etcd
  start_component kube-apiserver # waits for etcd by itself
  wait_for_api
  say "API server ready"
  admin_kubectl apply -f "$CLUSTER_LIB/coredns-rbac.yaml" >/dev/null
  for name in $COMPONENTS; do start_component "$name"; done
}
