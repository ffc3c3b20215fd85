#!/usr/bin/env bash
# Container images without a registry and without a container tool: packing them, and putting them into nodes.
# shellcheck disable=SC2154  # settings.sh

# pack_image NAME FOLDER OUT.tar [ENTRYPOINT...]: a folder as an image of one layer (docker archive). Equal folders give
# equal archives, so nothing in it says when or by whom it was packed.
pack_image() {
  local name=$1 folder=$2 out=$3 work sum arch argument entrypoint=
  shift 3
  [[ $name =~ ^[a-z0-9./-]+:[A-Za-z0-9._-]+$ ]] || die "the image name '$name' must look like muster.local/name:tag"
  [ -d "$folder" ] || die "$folder is not a folder; an image is packed from one"
  work=$(mktemp -d)
  local plain=(--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu)
  tar "${plain[@]}" -C "$folder" -cf "$work/layer.tar" .
  sum=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  for argument in "$@"; do entrypoint="$entrypoint${entrypoint:+,}\"$argument\""; done
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) arch=$(uname -m) ;;
  esac
  printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/usr/bin:/bin"],"Entrypoint":[%s]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}\n' \
    "$arch" "$entrypoint" "$sum" >"$work/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]\n' "$name" >"$work/manifest.json"
  tar "${plain[@]}" --mode=a+r -C "$work" -cf "$out.partial" manifest.json config.json layer.tar
  mv "$out.partial" "$out"
  rm -r "$work"
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
