#!/usr/bin/env bash
# Builds hack/crdcheck, once for each state of its sources, and prints the path of the program.
set -euo pipefail
# shellcheck source=hack/lib/setup.sh
. "$(dirname "$0")/setup.sh"
# shellcheck source=hack/lib/go.sh
. "$(dirname "$0")/go.sh"

sources=$MUSTER_ROOT/hack/crdcheck
key=$(cat "$sources"/*.go "$sources"/go.mod "$sources"/go.sum | sha256sum | cut -c 1-16)
program=$MUSTER_CACHE/crdcheck/$key/crdcheck
if [ ! -x "$program" ]; then
  use_go >&2
  export GOCACHE=$MUSTER_CACHE/go/build
  mkdir -p "${program%/*}"
  # Under a name of its own first: two tests may build it at once.
  partial=$program.$$
  trap 'rm -f "$partial"' EXIT
  (cd "$sources" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$partial" .) >&2 ||
    die "go build of hack/crdcheck failed (above); it needs Go $GO_VERSION and, once, the Go module proxy"
  mv "$partial" "$program"
fi
printf '%s\n' "$program"
