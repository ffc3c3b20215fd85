#!/usr/bin/env bash
# Every key and certificate of the cluster, with openssl. Elliptic curves: RSA keys would take most of the start-up.
# shellcheck disable=SC2154,SC2164  # settings.sh; every error ends hack/cluster

make_pki() {
  (
    umask 077
    mkdir -p "$STATE/pki"
    cd "$STATE/pki"
    make_authorities
    make_certificates
    make_key sa.key
    openssl pkey -in sa.key -pubout -out sa.pub
  )
}

make_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

make_authorities() {
  local name
  for name in ca front-proxy-ca etcd-ca; do
    make_key $name.key
    openssl req -x509 -new -key $name.key -subj "/CN=$name" -days 365 -out $name.crt \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,digitalSignature
  done
}

# make_certificate AUTHORITY NAME SUBJECT [ALTERNATIVE_NAMES]
make_certificate() {
  make_key "$2.key"
  openssl req -new -key "$2.key" -subj "$3" -out "$2.csr"
  {
    echo "keyUsage=critical,digitalSignature"
    echo "extendedKeyUsage=serverAuth,clientAuth"
    [ -z "${4-}" ] || echo "subjectAltName=$4"
  } >"$2.ext"
  openssl x509 -req -in "$2.csr" -CA "$1.crt" -CAkey "$1.key" -CAcreateserial -days 365 -extfile "$2.ext" \
    -out "$2.crt" 2>/dev/null
  rm "$2.csr" "$2.ext"
}

make_certificates() {
  local node service=kubernetes.default.svc
  make_certificate etcd-ca etcd /CN=etcd IP:127.0.0.1,DNS:localhost
  make_certificate etcd-ca etcd-client /CN=kube-apiserver
  make_certificate ca apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local,DNS:localhost,IP:$API,IP:$SERVICE_API"
  make_certificate ca apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  make_certificate front-proxy-ca front-proxy-client /CN=front-proxy-client
  make_certificate ca admin /O=system:masters/CN=admin
  make_certificate ca controller-manager /CN=system:kube-controller-manager
  make_certificate ca scheduler /CN=system:kube-scheduler
  make_certificate ca proxy /CN=system:kube-proxy
  make_certificate ca coredns /CN=system:coredns
  for node in $(nodes); do
    make_certificate ca "node-$node" "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$(node_ip "$node")"
  done
}

# make_kubeconfig FILE CERTIFICATE
make_kubeconfig() {
  local pki=$STATE/pki
  (
    umask 077
    cat >"$1" <<YAML
apiVersion: v1
kind: Config
clusters:
- {name: muster, cluster: {server: "https://$API:6443", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}}
users:
- {name: user, user: {client-certificate-data: $(base64 -w0 "$pki/$2.crt"), client-key-data: $(base64 -w0 "$pki/$2.key")}}
contexts:
- {name: muster, context: {cluster: muster, user: user}}
current-context: muster
YAML
  )
}
