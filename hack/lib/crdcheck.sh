#!/usr/bin/env bash
# Builds hack/crdcheck, once for each state of its sources, and prints the path of the program.
set -euo pipefail
# shellcheck source=hack/lib/setup.sh
. "$(dirname "$0")/setup.sh"
# shellcheck source=hack/lib/go.sh
. "$(dirname "$0")/go.sh"

build_go_program hack/crdcheck
