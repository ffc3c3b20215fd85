#!/usr/bin/env bash
# The Go release that compiles what comes from the Go module proxy; sourced after setup.sh.
# Debian 12 has Go 1.19 and Kubernetes wants 1.24 or newer. The Go project publishes each release as a version of the
# module golang.org/toolchain, so the Go of the distribution fetches this one as it fetches any module.

GO_VERSION=1.26.8

go_architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "Go programs are built on x86_64 and aarch64; this machine is $(uname -m)" ;;
  esac
}

# The checksum of that module as the public checksum database has it: the download is right or it is refused.
go_release_sum() {
  case $1 in
    amd64) echo 'h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM=' ;;
    arm64) echo 'h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc=' ;;
  esac
}

# fetch_go FOLDER: that release from the module proxy into FOLDER, by whatever Go is at hand.
fetch_go() {
  local folder=$1 arch version work answer
  arch=$(go_architecture)
  version=v0.0.1-go$GO_VERSION.linux-$arch
  command -v go >/dev/null || install_packages golang-go
  mkdir -p "${folder%/*}"
  work=$(mktemp -d "$folder.XXXXXX") || die "cannot make a folder beside $folder"
  # A module cache of its own, because that of the user would keep 300 MB which nothing reads again.
  if ! answer=$(cd "$work" && env GOFLAGS= GOTOOLCHAIN=local GOMODCACHE="$work" \
    go mod download -json "golang.org/toolchain@$version" 2>&1); then
    rm -rf "$work"
    die "Go $GO_VERSION could not be fetched from ${GOPROXY:-the Go module proxy}: $(tail -n 2 <<<"$answer" | tr '\n' ' ')"
  fi
  chmod -R u+w "$work" # a module cache is read-only
  if ! grep -qF "\"$(go_release_sum "$arch")\"" <<<"$answer"; then
    rm -rf "$work"
    die "golang.org/toolchain@$version has another checksum than hack/lib/go.sh names; it was thrown away"
  fi
  local release=$work/golang.org/toolchain@$version
  chmod +x "$release"/bin/* "$release"/pkg/tool/*/* # modules carry no permissions
  rm -rf "$folder"
  mv "$release" "$folder"
  rm -rf "$work"
}

# use_go: puts the pinned release first on PATH, with its caches under MUSTER_CACHE.
use_go() {
  local folder=$MUSTER_CACHE/go/$GO_VERSION
  export GOTOOLCHAIN=local GOMODCACHE=$MUSTER_CACHE/go/modules GOFLAGS=-mod=readonly
  if [ "$(go env GOVERSION 2>/dev/null)" != "go$GO_VERSION" ]; then
    [ -x "$folder/bin/go" ] || fetch_go "$folder"
    unset GOROOT
    export PATH=$folder/bin:$PATH
  fi
}

# build_go_program FOLDER: compiles the folder of this project (hack/...) once for each state of its sources, and
# prints the path of the program, which has the folder's name.
build_go_program() {
  local sources=$MUSTER_ROOT/$1 name=${1##*/} key program partial
  key=$(cat "$sources"/*.go "$sources"/go.* | sha256sum | cut -c 1-16)
  program=$MUSTER_CACHE/$name/$key/$name
  if [ ! -x "$program" ]; then
    use_go >&2
    export GOCACHE=$MUSTER_CACHE/go/build
    mkdir -p "${program%/*}"
    # Under a name of its own first: two tests may build it at once.
    partial=$program.$$
    if ! (cd "$sources" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$partial" .) >&2; then
      rm -f "$partial"
      die "go build of $1 failed (above); it needs Go $GO_VERSION and, where it uses modules, the Go module proxy once"
    fi
    mv "$partial" "$program"
  fi
  printf '%s\n' "$program"
}
