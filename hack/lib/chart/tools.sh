#!/usr/bin/env bash
# Builds helm and kubeconform and makes the schemas of Kubernetes' kinds, once for each set of pinned versions, and
# prints the folder that has them: helm, kubeconform, schemas/. With --if-built it builds nothing, and fails if there
# is nothing to print.
set -euo pipefail
# shellcheck source=hack/lib/setup.sh
. "$(dirname "$0")/../setup.sh"
# shellcheck source=hack/lib/go.sh
. "$(dirname "$0")/../go.sh"

here=$MUSTER_ROOT/hack/lib/chart
# Schemas are read from the modules of the Kubernetes that hack/cluster starts, and of the Prometheus operator.
kubernetes_sums=$MUSTER_ROOT/hack/lib/cluster/tools/kubernetes-1.34/go.sum
prometheus_operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
prometheus_operator_sum=h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=

read -r _ kubernetes kubernetes_sum < <(grep '^k8s.io/kubernetes v[0-9.]* ' "$kubernetes_sums")
key=$({
  cat "$here"/tools/* "$here/schemas.py" "$0"
  echo "$GO_VERSION $kubernetes_sum"
} | sha256sum | cut -c 1-12)
folder=$MUSTER_CACHE/chart/$key

# module_folder MODULE@VERSION SUM: where the module cache has it; another content than SUM's is refused.
module_folder() {
  local answer
  answer=$(cd "$partial" && go mod download -json "$1") || die "the module $1 could not be fetched: $(tail -n 2 <<<"$answer" | tr "\n" " ")"
  grep -qF "\"Sum\": \"$2\"" <<<"$answer" || die "$1 has another checksum than $2, which hack/lib/chart/tools.sh wants"
  sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$answer"
}

# Helm takes its own version and that of the Kubernetes it stands for from linker flags; without them a chart meets
# Kubernetes 1.20.
helm_flags() {
  local package minor=${kubernetes#v1.}
  minor=${minor%%.*}
  printf '%s' "-s -w -X helm.sh/helm/v3/internal/version.version=$(cd "$here/tools" &&
    go list -m -f '{{.Version}}' helm.sh/helm/v3)"
  for package in chartutil lint/rules; do
    printf ' %s' "-X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1" "-X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=$minor"
  done
}

build_programs() {
  use_go
  export GOCACHE=$MUSTER_CACHE/go/build
  (cd "$here/tools" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$(helm_flags)" -o "$partial/" \
    helm.sh/helm/v3/cmd/helm github.com/yannh/kubeconform/cmd/kubeconform) ||
    die "helm did not compile (above); it needs Go $GO_VERSION and, once, the Go module proxy"
}

make_schemas() {
  local kubernetes_folder operator_folder
  kubernetes_folder=$(module_folder "k8s.io/kubernetes@$kubernetes" "$kubernetes_sum")
  operator_folder=$(module_folder "$prometheus_operator" "$prometheus_operator_sum")
  python3 "$here/schemas.py" "$partial/schemas" "$kubernetes_folder/api/openapi-spec/swagger.json" \
    "$operator_folder"/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml
}

if [ ! -d "$folder" ]; then
  [ "${1:-}" != --if-built ] || exit 1
  mkdir -p "${folder%/*}"
  # Under a name of its own first: two may build it at once, and one may be interrupted.
  partial=$(mktemp -d "$folder.XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  { build_programs && make_schemas; } >&2
  [ -d "$folder" ] || mv "$partial" "$folder"
fi
printf '%s\n' "$folder"
