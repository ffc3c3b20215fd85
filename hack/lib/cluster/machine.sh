#!/usr/bin/env bash
# What this machine can do, what is changed on it, and putting it back.
# shellcheck disable=SC2154  # settings.sh

# The kubelet sets these, and containerd needs many inotify instances.
CHANGED_SYSCTLS="vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys
  kernel.keys.root_maxbytes fs.inotify.max_user_instances"

# check_machine: dies with the one reason why no cluster can run here; looks, and changes nothing.
check_machine() {
  local mount group
  [ "$(id -u)" = 0 ] || die "hack/cluster needs root (namespaces, cgroups, a bridge); try: sudo -E hack/cluster ..."
  unshare --mount --pid --net --uts --ipc --fork --mount-proc true 2>/dev/null ||
    die "root may not make namespaces here: is this an unprivileged container?"
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --net sh -c 'ip link add check0 type bridge && ip link add check1 type veth peer name check2' 2>/dev/null ||
    die "the kernel or this container allows no bridge and no veth network devices"
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || die "the kernel has no overlay file system"
  mount=$(cgroup_mounts | head -n 1)
  [ -n "$mount" ] || die "no cgroups are mounted under /sys/fs/cgroup"
  for mount in $(cgroup_mounts); do
    group=$mount/$NAME-check-$$
    mkdir "$group" 2>/dev/null || die "root may not make cgroups in $mount: is this an unprivileged container?"
    rmdir "$group"
  done
  check_controllers
}

check_controllers() {
  local name
  for name in cpu cpuset memory pids freezer; do
    if [ $CGROUP_VERSION = 1 ]; then
      [ -d "/sys/fs/cgroup/$name" ] || die "the cgroup controller '$name' is not mounted at /sys/fs/cgroup/$name"
    elif [ $name != freezer ]; then
      grep -qw $name /sys/fs/cgroup/cgroup.controllers || die "the cgroup controller '$name' is not available"
    fi
  done
}

# require_parts: what `hack/cluster build` and apt bring.
require_parts() {
  local missing
  [ -e "$BIN" ] || die "Kubernetes $KUBERNETES is not compiled yet, or its pinned versions changed: hack/cluster build"
  for missing in ip nsenter unshare setsid flock openssl containerd ctr runc nft sysctl pgrep curl; do
    command -v $missing >/dev/null || die "the command $missing is missing: hack/cluster build installs it"
  done
  [ -n "$(cni_folder)" ] || die "the network plugins ptp and host-local are neither in /usr/lib/cni nor in /opt/cni/bin"
  unshare --net nft add table bridge check 2>/dev/null ||
    die "nft cannot filter frames of a bridge: the kernel lacks CONFIG_NF_TABLES_BRIDGE"
}

# require_place: addresses that nobody uses, and a folder on a disk that is ours.
require_place() {
  local kind
  case $STATE/ in
    /run/* | /var/lib/* | /var/log/*)
      die "MUSTER_CLUSTER_STATE is '$STATE'; it may not lie in /run, /var/lib or /var/log, where each node has its own"
      ;;
  esac
  # Not grep -q, which would end before the others and make them fail.
  if ip -4 route show table all | grep -v "dev $BRIDGE" | grep -E "(^| )($NODE_NET|$POD_NET|$SERVICE_NET)\." >/dev/null; then
    die "addresses of $NODE_NET, $POD_NET or $SERVICE_NET are in use on this machine: set MUSTER_CLUSTER_NET, now '$NET'"
  fi
  if [ -e "$STATE" ]; then
    [ -z "$(ls -A "$STATE")" ] || die "MUSTER_CLUSTER_STATE is '$STATE'; it must be empty, and other files are in it"
  fi
  mkdir -p "$STATE" || die "cannot make the state folder $STATE"
  kind=$(stat -f -c %T "$STATE")
  case $kind in
    tmpfs | nfs* | overlayfs)
      rmdir "$STATE"
      die "MUSTER_CLUSTER_STATE is '$STATE', which lies on $kind; containers need a disk"
      ;;
  esac
}

warn_of_firewall() {
  [ "$(sysctl -n net.bridge.bridge-nf-call-iptables 2>/dev/null || echo 0)" = 1 ] || return 0
  if nft list ruleset | grep 'hook forward .*policy drop' >/dev/null; then
    echo "muster: warning: this machine's firewall drops forwarded packets and sees bridges (Docker does this); pods may not reach each other: sysctl net.bridge.bridge-nf-call-iptables=0" >&2
  fi
}

save_machine() {
  local key
  for key in $CHANGED_SYSCTLS; do
    # One that this kernel does not have (a module that is not loaded) will not be changed either.
    [ -e "/proc/sys/${key//.//}" ] || continue
    sysctl "$key" >>"$STATE/sysctl" || die "cannot read the sysctl $key, so it could not be put back"
  done
  # The first namespace that `ip` names makes this folder a mount of itself.
  if grep -q ' /run/netns ' /proc/self/mountinfo; then touch "$STATE/netns-was-mounted"; fi
  [ "$(sysctl -n fs.inotify.max_user_instances)" -ge 1024 ] || sysctl -qw fs.inotify.max_user_instances=1024
}

# clean_machine: everything that has our name, whatever state a crash left it in. Says nothing but what stays.
clean_machine() {
  local name
  rm -f "$STATE/up"
  kill_cgroup $NAME
  for name in "/sys/class/net/$NAME"-n[0-9]*; do drop_link "${name##*/}"; done
  for name in "/run/netns/$NAME"-n[0-9]*; do drop_namespace "${name##*/}"; done
  drop_link $BRIDGE # its routes go with it
  drop_rules
  if [ -s "$STATE/sysctl" ] && ! sysctl -q -p "$STATE/sysctl" >/dev/null; then
    echo "muster: warning: not all sysctls could be put back; they were: $(tr '\n' ';' <"$STATE/sysctl")" >&2
  fi
  [ -f "$STATE/.muster-cluster" ] || return 0 # not our folder
  if [ ! -e "$STATE/netns-was-mounted" ] && [ -z "$(ls -A /run/netns 2>/dev/null)" ]; then
    ! grep -q ' /run/netns ' /proc/self/mountinfo || umount /run/netns || die "/run/netns cannot be unmounted"
    [ ! -d /run/netns ] || rmdir /run/netns || die "/run/netns cannot be removed"
  fi
  ! grep -q " $STATE/" /proc/self/mountinfo || die "something is mounted below $STATE; unmount it, then: hack/cluster down"
  rm -rf --one-file-system "$STATE"
}
