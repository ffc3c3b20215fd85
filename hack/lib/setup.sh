#!/usr/bin/env bash
# What every chore shares: progress lines with times, the packages a build needs, the compiler cache.
# Sourced by hack/test, hack/quickstart and hack/dev; does nothing where nothing is to do.

MUSTER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
MUSTER_CACHE=${MUSTER_CACHE:-$HOME/.cache/muster}

# shellcheck disable=SC2034  # used by those who source this
packages_build=(g++ cmake ninja-build ccache mold pkg-config libssl-dev libboost-system-dev libcpprest-dev
  libyaml-cpp-dev prometheus-cpp-dev libgtest-dev libgmock-dev nlohmann-json3-dev libspdlog-dev
  libcli11-dev libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libopenblas-dev)
# shellcheck disable=SC2034
packages_test=(python3 python3-numpy)
# shellcheck disable=SC2034
packages_lint=(shellcheck git clang-format-19)

die() {
  printf 'muster: %s\n' "$*" >&2
  exit 1
}

# phase NAME COMMAND...: one line before, one with the time after; the output of a failure is shown whole.
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

require_distribution() {
  local id=unknown version=unknown
  if [ -r /etc/os-release ]; then
    id=$(. /etc/os-release && printf '%s' "${ID:-unknown}")
    version=$(. /etc/os-release && printf '%s' "${VERSION_ID:-unknown}")
  fi
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    die "this is $id $version; packages are installed with apt on Debian 12 or Ubuntu 24.04 only. Install the libraries named in hack/lib/setup.sh by hand and run: cmake --preset release && cmake --build --preset release"
}

# as_root COMMAND...: as it is for root, by sudo for others.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "packages are missing and neither root nor sudo is at hand; as root run: apt-get install ${missing[*]}"
  fi
}

require_disk() {
  local free_kb
  mkdir -p "$MUSTER_CACHE" || die "cannot make the cache folder $MUSTER_CACHE"
  free_kb=$(df -Pk "$MUSTER_ROOT" | awk 'NR == 2 {print $4}')
  [ "$free_kb" -ge 3000000 ] ||
    die "only $((free_kb / 1024)) MiB are free under $MUSTER_ROOT; a build with its tests needs about 3 GiB"
}

install_packages() {
  local log
  require_distribution
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  printf '    installing %d packages: %s\n' ${#missing[@]} "${missing[*]}"
  log=$(mktemp)
  if ! { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    die "apt-get could not install them (its last lines are above): is there a network, and do the package sources know them?"
  fi
  rm -f "$log"
}

use_compiler_cache() {
  export CCACHE_DIR=${CCACHE_DIR:-$MUSTER_CACHE/ccache}
  export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$MUSTER_ROOT} CCACHE_NOHASHDIR=1
  export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-2G}
  mkdir -p "$CCACHE_DIR" || die "cannot make the compiler cache $CCACHE_DIR"
}

# build PRESET [TARGET...]: configures once, then builds.
build() {
  local preset=$1
  shift
  cd "$MUSTER_ROOT" || die "cannot enter $MUSTER_ROOT"
  if [ ! -f "build/$preset/build.ninja" ]; then
    cmake --preset "$preset" >"$MUSTER_CACHE/configure-$preset.log" 2>&1 || {
      tail -n 30 "$MUSTER_CACHE/configure-$preset.log" >&2
      return 1
    }
  fi
  # Ninja's own progress line is kept on a terminal; elsewhere only what goes wrong is shown.
  if [ -t 1 ]; then
    cmake --build --preset "$preset" ${1:+--target "$@"}
  else
    cmake --build --preset "$preset" ${1:+--target "$@"} >"$MUSTER_CACHE/build-$preset.log" 2>&1 || {
      grep -A 25 -m 5 -E 'FAILED|error:' "$MUSTER_CACHE/build-$preset.log" >&2
      return 1
    }
  fi
}
