#!/usr/bin/env bash
# Container images without a registry and without a container tool: packing them (hack/lib/image/archive.py), and putting
# them into nodes.
# shellcheck disable=SC2154  # settings.sh

# pack_image NAME FOLDER OUT.tar [ENTRYPOINT...]: a folder as an image of one layer. Equal folders give equal archives.
pack_image() {
  command -v python3 >/dev/null || die "python3 is missing, which packs images: apt-get install python3"
  python3 -B "$MUSTER_ROOT/hack/lib/image/archive.py" "$@" || exit
}

# load_images IMAGE.tar...: into every node that is on, all nodes at once.
load_images() {
  local node image child children=() failed=
  [ $# -gt 0 ] || die "load: which image archives?"
  for image in "$@"; do [ -r "$image" ] || die "load: cannot read $image"; done
  for node in $(nodes); do
    if ! is_on "$node"; then
      say "$node is off: it did not get the image"
      continue
    fi
    load_into "$node" "$@" &
    children+=($!)
  done
  for child in "${children[@]}"; do wait "$child" || failed=yes; done
  [ -z "$failed" ] || die "load: an image did not get into every node; containerd's own words are above"
}

load_into() {
  local node=$1 image
  shift
  # By standard input: a node does not see the machine's /run, /var/lib and /var/log.
  for image in "$@"; do
    run_in "$node" ctr -a /run/containerd/containerd.sock -n k8s.io images import - <"$image" >/dev/null 9>&- || return 1
  done
}
