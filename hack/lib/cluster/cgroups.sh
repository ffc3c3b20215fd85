#!/usr/bin/env bash
# The process table of the cluster is the kernel's: every process of it is in the cgroup tree `muster`, each component
# and each node in a leaf of its own. What is in there is killed, and nothing else; no pid file can lie.
# shellcheck disable=SC2154  # settings.sh

if [ -f /sys/fs/cgroup/cgroup.controllers ]; then CGROUP_VERSION=2; else CGROUP_VERSION=1; fi

cgroup_mounts() {
  if [ $CGROUP_VERSION = 2 ]; then
    echo /sys/fs/cgroup
  else
    awk '$3 == "cgroup" && index($2, "/sys/fs/cgroup/") == 1 {print $2}' /proc/mounts | sort -u
  fi
}

# The one place where membership is read.
cgroup_tree() {
  if [ $CGROUP_VERSION = 2 ]; then echo "/sys/fs/cgroup/$1"; else echo "/sys/fs/cgroup/pids/$1"; fi
}

make_cgroup() {
  local mount part path controller
  for mount in $(cgroup_mounts); do
    path=$mount
    for part in ${1//\// }; do
      if [ $CGROUP_VERSION = 2 ]; then
        for controller in cpuset cpu io memory pids; do
          # One that this machine does not have is for the kubelet to miss.
          grep -qw "$controller" "$path/cgroup.controllers" || continue
          echo "+$controller" >"$path/cgroup.subtree_control" ||
            echo "muster: warning: the cgroup controller $controller cannot be used below $path" >&2
        done
      fi
      path=$path/$part
      [ -d "$path" ] || mkdir "$path"
      # It stands for several machines: as one group it would get as much of a busy one as a single process does.
      if [ "$part" = "$NAME" ]; then
        [ ! -f "$path/cpu.shares" ] || echo 16384 >"$path/cpu.shares"
        [ ! -f "$path/cpu.weight" ] || echo 1600 >"$path/cpu.weight"
      fi
      # A new cpuset of version 1 is empty, and nothing may join it before it has processors and memory.
      if [ $CGROUP_VERSION = 1 ] && [ -f "$path/cpuset.cpus" ]; then
        cat "${path%/*}/cpuset.cpus" >"$path/cpuset.cpus"
        cat "${path%/*}/cpuset.mems" >"$path/cpuset.mems"
      fi
    done
  done
}

# join_cgroup PATH PID
join_cgroup() {
  local mount
  for mount in $(cgroup_mounts); do echo "$2" >"$mount/$1/cgroup.procs"; done
}

# unless_gone COMMAND...: groups and processes go while one looks, so complaints about what is there no more are no
# failure. Every other one is shown and is one.
unless_gone() {
  local -x LC_ALL=C
  local said
  { said=$("$@" 2>&1 >&3); } 3>&1 && return 0
  said=$(grep -vE 'No such (file or directory|process|device)' <<<"$said") || return 0
  printf '%s\n' "$said" >&2
  return 1
}

# Of what is in it.
cgroup_pids() {
  local tree
  tree=$(cgroup_tree "$1")
  [ ! -d "$tree" ] || unless_gone find "$tree" -name cgroup.procs -exec cat {} + | sort -un
}

# freeze_cgroup PATH 0|1
freeze_cgroup() {
  if [ $CGROUP_VERSION = 2 ]; then
    echo "$2" >"/sys/fs/cgroup/$1/cgroup.freeze"
  elif [ "$2" = 1 ]; then
    echo FROZEN >"/sys/fs/cgroup/freezer/$1/freezer.state"
  else
    echo THAWED >"/sys/fs/cgroup/freezer/$1/freezer.state"
  fi
}

is_frozen() {
  if [ $CGROUP_VERSION = 2 ]; then
    grep -qx 1 "/sys/fs/cgroup/$1/cgroup.freeze" 2>/dev/null
  else
    grep -qx 1 "/sys/fs/cgroup/freezer/$1/freezer.self_freezing" 2>/dev/null
  fi
}

# kill_cgroup PATH: kills what is in it, waits until it is gone, removes the tree.
kill_cgroup() {
  local pids mount _
  for _ in $(seq 150); do
    pids=$(cgroup_pids "$1")
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086  # a list of numbers
    unless_gone kill -KILL $pids
    thaw_tree "$1"
    sleep 0.1
  done
  pids=$(cgroup_pids "$1" | tr '\n' ' ')
  [ -z "$pids" ] || die "these processes of the cgroup $1 do not die: $pids"
  for mount in $(cgroup_mounts) /sys/fs/cgroup/unified; do
    for _ in $(seq 20); do
      [ -d "$mount/$1" ] || break
      find "$mount/$1" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
    [ ! -d "$mount/$1" ] || die "the cgroup $mount/$1 cannot be removed"
  done
}

# A frozen process of version 1 does not die before it is thawed, and each level has a switch of its own. The signal is
# already pending, so that nothing of the node runs on.
thaw_tree() {
  local files file
  [ $CGROUP_VERSION = 1 ] || return 0
  files=$(unless_gone find "/sys/fs/cgroup/freezer/$1" -name freezer.state)
  for file in $files; do unless_gone thaw "$file"; done
}

thaw() { echo THAWED >"$1"; }

# spawn CGROUP LOG COMMAND...: a daemon in that cgroup, without the lock; its number is $!.
spawn() {
  local group=$1 log=$2
  shift 2
  (
    join_cgroup "$group" $BASHPID
    exec 9>&- </dev/null >>"$log" 2>&1
    exec setsid "$@"
  ) &
}
