#!/usr/bin/env bash
# Hugging Face's transformers on the CPU, for `hack/dev transformers`; sourced after setup.sh. PyTorch is the
# distribution's, which is built for the CPU; the rest comes from a package index into a folder of its own.

TRANSFORMERS_VERSION=4.40.2
SAFETENSORS_VERSION=0.4.3
transformers_folder=$MUSTER_CACHE/transformers-$TRANSFORMERS_VERSION
# shellcheck disable=SC2034  # used by hack/dev
packages_transformers=(python3-torch python3-venv)

has_transformers() {
  [ -x "$transformers_folder/bin/python" ] &&
    "$transformers_folder/bin/python" -c 'import torch, transformers' 2>/dev/null
}

# use_transformers: fetched once; what a fetch that was killed left is made anew.
use_transformers() {
  local log
  has_transformers && return
  [ "$(free_mib "$MUSTER_CACHE")" -ge 600 ] ||
    die "only $(free_mib "$MUSTER_CACHE") MiB are free under $MUSTER_CACHE; transformers needs 600 while it is unpacked"
  log=$(mktemp) || die "cannot make a temporary file in ${TMPDIR:-/tmp}"
  # Debian's Python, whatever else PATH has: it is the one that has Debian's PyTorch.
  if ! { rm -rf "$transformers_folder" && /usr/bin/python3 -m venv --system-site-packages "$transformers_folder" &&
    "$transformers_folder/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --only-binary :all: \
      "transformers==$TRANSFORMERS_VERSION" "safetensors==$SAFETENSORS_VERSION" && has_transformers; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    rm -f "$log"
    printf 'muster: transformers %s could not be fetched (above): is there a network, and has the package index that pip uses got it?\n' \
      "$TRANSFORMERS_VERSION" >&2
    return 1
  fi
  rm -f "$log"
}

check_transformers() {
  MUSTER_BIN_DIR="$MUSTER_ROOT/build/release/bin" PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 \
    "$transformers_folder/bin/python" "$MUSTER_ROOT/hack/gpt2_transformers.py" check || return
  MUSTER_BIN_DIR="$MUSTER_ROOT/build/release/bin" PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 \
    "$transformers_folder/bin/python" "$MUSTER_ROOT/hack/gpu/check_peer.py"
}
