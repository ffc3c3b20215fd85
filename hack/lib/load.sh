#!/usr/bin/env bash
# Builds hack/lib/load, once for each state of its sources, and prints the path of the program.
set -euo pipefail
# shellcheck source=hack/lib/setup.sh
. "$(dirname "$0")/setup.sh"
# shellcheck source=hack/lib/go.sh
. "$(dirname "$0")/go.sh"

sources=$MUSTER_ROOT/hack/lib/load
key=$(cat "$sources"/*.go "$sources/go.mod" | sha256sum | cut -c 1-16)
program=$MUSTER_CACHE/load/$key/load
if [ ! -x "$program" ]; then
  use_go >&2
  export GOCACHE=$MUSTER_CACHE/go/build
  mkdir -p "${program%/*}"
  (cd "$sources" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$program.$$" .) >&2 ||
    die "go build of hack/lib/load failed (above)"
  mv "$program.$$" "$program"
fi
printf '%s\n' "$program"
