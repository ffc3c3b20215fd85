#!/usr/bin/env bash
# What every chore shares: progress lines with times, the packages a build needs, the compiler cache.
# Sourced by hack/test, hack/quickstart and hack/dev; does nothing where nothing is to do.

MUSTER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
MUSTER_CACHE=${MUSTER_CACHE:-${HOME:-$MUSTER_ROOT/build}/.cache/muster}

# The tests are configured with everything else, so python3 belongs to a build.
# shellcheck disable=SC2034  # used by those who source this
packages_build=(g++ cmake ninja-build ccache mold pkg-config libssl-dev libboost-system-dev libcpprest-dev
  libyaml-cpp-dev prometheus-cpp-dev libgtest-dev libgmock-dev nlohmann-json3-dev libspdlog-dev
  libcli11-dev libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libopenblas-dev python3)
# shellcheck disable=SC2034
packages_test=(python3-numpy python3-yaml ca-certificates binutils)
# What hack/image takes files from besides the programs' own libraries, and what it strips them with.
# shellcheck disable=SC2034
packages_image=(ca-certificates binutils)
# What hack/cluster runs on and is tested with; the rest of it is compiled.
# shellcheck disable=SC2034
packages_cluster=(containerd runc containernetworking-plugins nftables iproute2 procps util-linux openssl gcc
  libc6-dev curl ca-certificates python3)
# shellcheck disable=SC2034
packages_cluster_test=(busybox-static)
# shellcheck disable=SC2034
packages_lint=(shellcheck git clang-format-19)

die() {
  printf 'muster: %s\n' "$*" >&2
  exit 1
}

# phase NAME COMMAND...: a line before it; its time is one of print_phase_times'. COMMAND checks each of its
# steps itself, because bash has no `set -e` in it.
phase_times=()
phase() {
  local name=$1 start=$SECONDS
  shift
  printf '==> %s\n' "$name"
  "$@" || {
    local status=$?
    printf 'muster: %s failed (exit status %d)\n' "$name" "$status" >&2
    return "$status"
  }
  phase_times+=("$(printf '%4d s  %s' $((SECONDS - start)) "$name")")
}

print_phase_times() {
  printf 'time of each phase:\n'
  printf '  %s\n' "${phase_times[@]}"
}

# The packages of this list that are not installed, one a line.
missing_packages() {
  local name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || printf '%s\n' "$name"
  done
}

# "debian 12"
distribution() {
  local id=unknown version=''
  if [ -r /etc/os-release ]; then
    id=$(. /etc/os-release && printf '%s' "${ID:-unknown}")
    version=$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")
  fi
  printf '%s' "$id${version:+ $version}"
}

require_distribution() {
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    die "this is $(distribution); packages are installed with apt on Debian 12 or Ubuntu 24.04 only. Install the libraries named in hack/lib/setup.sh by hand and run: cmake --preset release && cmake --build --preset release"
}

require_root() {
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
    die "packages are missing and neither root nor sudo is at hand; as root run: apt-get install $*"
}

# as_root COMMAND...: as it is for root, by sudo for others.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# MiB that are free where a file would be made.
free_mib() { df -Pk "$1" | awk 'NR == 2 {print int($4 / 1024)}'; }

require_disk() {
  local free built=0
  mkdir -p "$MUSTER_CACHE" || die "cannot make the cache folder $MUSTER_CACHE"
  [ ! -d "$MUSTER_ROOT/build" ] || built=$(du -sm "$MUSTER_ROOT/build" | cut -f 1)
  free=$(free_mib "$MUSTER_ROOT")
  [ $((free + built)) -ge 3000 ] ||
    die "only $free MiB are free under $MUSTER_ROOT; a build with its tests needs about 3 GiB"
}

install_packages() {
  local log
  require_distribution
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  require_root "${missing[@]}"
  printf '    installing %d packages: %s\n' ${#missing[@]} "${missing[*]}"
  log=$(mktemp) || die "cannot make a temporary file in ${TMPDIR:-/tmp}"
  if ! { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    die "apt-get could not install them (its last lines are above): is there a network, may you use sudo, is there room on the disk? This is $(distribution); Debian 12 and Ubuntu 24.04 have them all"
  fi
  rm -f "$log"
}

use_compiler_cache() {
  export CCACHE_DIR=${CCACHE_DIR:-$MUSTER_CACHE/ccache}
  export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$MUSTER_ROOT} CCACHE_NOHASHDIR=1
  export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-2G}
  # A miss costs one run of the compiler, not one of the preprocessor before it.
  export CCACHE_DEPEND=1
  # Without it ccache lets everything be compiled that begins with a precompiled header (muster_test_code).
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
  mkdir -p "$CCACHE_DIR" || die "cannot make the compiler cache $CCACHE_DIR"
}

# prepare PACKAGE...: what every verb that builds does first.
prepare() {
  require_disk
  phase 'packages' install_packages "$@"
  use_compiler_cache
}

say_full_disk() {
  local folder
  for folder in "$MUSTER_ROOT" "$MUSTER_CACHE" "${TMPDIR:-/tmp}"; do
    [ "$(free_mib "$folder")" -ge 50 ] ||
      printf 'muster: the disk is full: %d MiB are free under %s\n' "$(free_mib "$folder")" "$folder" >&2
  done
}

# What of a failed step's log tells why.
say_why() {
  grep -A 25 -m 5 -E 'FAILED|error:|Error at' "$1" >&2 || tail -n 30 "$1" >&2
  say_full_disk
}

# The tests on a real cluster are behind an option, because they take root and a Kubernetes (docs/cluster.md).
register_cluster_tests() {
  local log=$MUSTER_CACHE/configure-release.log
  if grep -qs '^MUSTER_CLUSTER_TESTS:BOOL=ON$' "$MUSTER_ROOT/build/release/CMakeCache.txt"; then return 0; fi
  (cd "$MUSTER_ROOT" && cmake --preset release -DMUSTER_CLUSTER_TESTS=ON) >"$log" 2>&1 || {
    say_why "$log"
    return 1
  }
}

# build PRESET [TARGET...]: configures once, then builds.
build() {
  local preset=$1 log
  shift
  cd "$MUSTER_ROOT" || die "cannot enter $MUSTER_ROOT"
  log=$MUSTER_CACHE/configure-$preset.log
  if [ ! -f "build/$preset/build.ninja" ] && ! cmake --preset "$preset" >"$log" 2>&1; then
    say_why "$log"
    return 1
  fi
  # Ninja's own progress line is kept on a terminal; elsewhere only what goes wrong is shown.
  if [ -t 1 ]; then
    cmake --build --preset "$preset" ${1:+--target "$@"} && return
    say_full_disk
    return 1
  fi
  log=$MUSTER_CACHE/build-$preset.log
  if ! cmake --build --preset "$preset" ${1:+--target "$@"} >"$log" 2>&1; then
    say_why "$log"
    return 1
  fi
}
