#!/usr/bin/env bash
# Compiles Kubernetes, etcd and CoreDNS from the Go module proxy, once for each set of pinned versions.
# shellcheck disable=SC2154  # CLUSTER_LIB, BIN and others are set in settings.sh

kubernetes_versions() {
  local folder
  for folder in "$CLUSTER_LIB"/tools/kubernetes-*; do printf '%s ' "${folder##*/kubernetes-}"; done
}

# What decides over the programs: their pinned modules, the compiler, and how it is called.
build_key() {
  {
    cat "$CLUSTER_LIB"/tools/{"kubernetes-$KUBERNETES",etcd,coredns}/* "$CLUSTER_LIB/pause.c"
    echo "$GO_VERSION $KUBERNETES_PROGRAMS"
    declare -f build_go kubernetes_flags build_pause
  } | sha256sum | cut -c1-10
}

# build_programs: nothing if they are there; else all into a folder that gets its name when it is whole.
build_programs() {
  [ ! -e "$BIN" ] || return 0
  mkdir -p "$CLUSTER_CACHE" || die "cannot make the cache folder $CLUSTER_CACHE"
  local free_kb partial=$BIN.partial
  free_kb=$(df -Pk "$CLUSTER_CACHE" | awk 'NR == 2 {print $4}')
  [ "$free_kb" -ge 7000000 ] ||
    die "only $((free_kb / 1024)) MiB are free under $CLUSTER_CACHE; compiling Kubernetes needs about 7 GiB for a while"
  phase 'Go' use_go
  # Objects of an interrupted build are used by the next one, and thrown away (4 GB) when all is built.
  export GOCACHE=$CLUSTER_CACHE/objects CGO_ENABLED=0
  rm -rf "$partial"
  mkdir -p "$partial"
  phase 'etcd' build_go etcd "-s -w" "$partial/etcd" go.etcd.io/etcd/server/v3
  phase 'CoreDNS' build_go coredns "-s -w" "$partial/coredns" .
  local name programs=()
  for name in $KUBERNETES_PROGRAMS; do programs+=("k8s.io/kubernetes/cmd/$name"); done
  phase "Kubernetes $KUBERNETES" build_go "kubernetes-$KUBERNETES" "$(kubernetes_flags)" "$partial/" "${programs[@]}"
  phase 'pause image' build_pause "$partial/pause.tar"
  mv "$partial" "$BIN"
  rm -rf "$GOCACHE"
}

# build_go MODULE LINKER_FLAGS OUTPUT PACKAGE...
build_go() {
  local module=$1 flags=$2 output=$3 log
  shift 3
  log=$CLUSTER_CACHE/build-$module.log
  if ! (cd "$CLUSTER_LIB/tools/$module" && go build -trimpath -buildvcs=false -ldflags "$flags" -o "$output" "$@") \
    >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    die "$module did not compile; its last lines are above, all of them in $log"
  fi
  rm -f "$log"
}

# `go build` of a dependency does not know its version; Kubernetes' own release scripts set these variables.
kubernetes_flags() {
  local version minor package flags="-s -w"
  version=$(cd "$CLUSTER_LIB/tools/kubernetes-$KUBERNETES" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
  minor=${version#v1.} minor=${minor%%.*}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags="$flags -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
    flags="$flags -X $package.gitTreeState=clean"
  done
  echo "$flags"
}

build_pause() {
  local root
  root=$(mktemp -d)
  cc -Os -static -s -o "$root/pause" "$CLUSTER_LIB/pause.c" ||
    die "cc -static cannot compile hack/lib/cluster/pause.c (the static C library is in Debian's libc6-dev)"
  pack_image muster.local/pause:1 "$root" "$1" /pause
  rm -r "$root"
}
