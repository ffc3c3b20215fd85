#!/usr/bin/env bash
# The CUDA compiler that worker/cuda is built with; sourced after setup.sh. It comes as Python packages, so that
# neither a GPU nor its driver nor an installed CUDA is needed; a few are enough, some 100 MB to fetch.

CUDA_VERSION=13.0.2
cuda_wheels=$MUSTER_ROOT/hack/lib/cuda_wheels.txt

# install_wheels FOLDER: the pinned packages, each with the hash that this project names or not at all.
install_wheels() {
  local folder=$1 log=$1/pip.log
  python3 -m venv "$folder/venv" >"$log" 2>&1 || {
    tail -n 3 "$log" >&2
    printf 'muster: python3 -m venv did not work (its last lines are above)\n' >&2
    return 1
  }
  "$folder/venv/bin/python" -m pip install --target "$folder/packages" --no-deps --no-compile --no-cache-dir \
    --only-binary :all: --require-hashes --retries 2 --timeout 30 --disable-pip-version-check \
    -r "$cuda_wheels" >"$log" 2>&1 && return
  grep -E 'ERROR|HASHES|Expected|Got' "$log" | tail -n 4 >&2
  printf 'muster: pip could not fetch the CUDA %s compiler (above): is there a network, and does the package index that pip uses have what %s names?\n' \
    "$CUDA_VERSION" "${cuda_wheels#"$MUSTER_ROOT/"}" >&2
  return 1
}

# fetch_cuda FOLDER: under another name first, so that a fetch that is killed leaves no half of it there.
fetch_cuda() {
  local folder=$1 work
  # Debian has these parts of Python in a package of their own; other Pythons bring them.
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
  [ "$(uname -m)" = x86_64 ] ||
    die "the CUDA module is built on x86_64; this machine is $(uname -m), for which hack/lib/cuda_wheels.txt has no packages"
  [ "$(free_mib "${folder%/*}")" -ge 600 ] ||
    die "only $(free_mib "${folder%/*}") MiB are free under ${folder%/*}; the CUDA compiler needs 600 while it is unpacked"
  # Under the lock: what lies here was left by one that was killed.
  rm -rf "$folder".part.*
  work=$(mktemp -d "$folder.part.XXXXXX") || die "cannot make a folder beside $folder"
  if ! install_wheels "$work"; then
    rm -rf "$work"
    return 1
  fi
  local toolkit=$work/packages/nvidia/cu13
  # Names that CMake looks for and the packages lack.
  ln -s lib "$toolkit/lib64" && ln -s libcudart.so.13 "$toolkit/lib/libcudart.so" || return
  # Last: a folder that has this file is whole, and of these versions.
  cp "$cuda_wheels" "$toolkit/muster_wheels.txt" || return
  rm -rf "$folder"
  mv "$toolkit" "$folder" || return
  rm -rf "$work"
}

# use_cuda: the compiler in MUSTER_CACHE, fetched once, for preset `cuda`. MUSTER_CUDA_HOME names another one.
use_cuda() {
  local folder=$MUSTER_CACHE/cuda-$CUDA_VERSION lock
  if [ -n "${MUSTER_CUDA_HOME:-}" ]; then
    [ -x "$MUSTER_CUDA_HOME/bin/nvcc" ] || die "MUSTER_CUDA_HOME is $MUSTER_CUDA_HOME, which has no bin/nvcc"
    return
  fi
  mkdir -p "$MUSTER_CACHE" || die "cannot make the cache folder $MUSTER_CACHE"
  # Two builds may want it at once: the second waits, and finds it.
  exec {lock}>"$folder.lock" || die "cannot write $folder.lock"
  flock "$lock" || die "cannot lock $folder.lock"
  cmp -s "$cuda_wheels" "$folder/muster_wheels.txt" || fetch_cuda "$folder" || return
  exec {lock}>&-
  export MUSTER_CUDA_HOME=$folder
}

# A build folder keeps the compiler that it was configured with.
forget_other_cuda() {
  local cache=$MUSTER_ROOT/build/cuda/CMakeCache.txt
  if [ -f "$cache" ] && ! grep '^CMAKE_CUDA_COMPILER:' "$cache" | grep -qF "=$MUSTER_CUDA_HOME/bin/nvcc"; then
    rm -rf "$MUSTER_ROOT/build/cuda"
  fi
}
