# Certificates and kubeconfigs of one instance. Sourced by up.sh.
PKI=$RUN/pki

# issue NAME SUBJECT [SUBJECT_ALT_NAMES]: NAME.crt and NAME.key, signed by the cluster's CA.
issue() {
  local san=${3:+subjectAltName=$3}
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$PKI/$1.key" -out "$PKI/$1.csr"
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 3650 \
    -out "$PKI/$1.crt" -extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "$san")
  rm "$PKI/$1.csr"
}

# kubeconfig NAME FILE: for the client certificate NAME; self-contained, so that it can be copied.
kubeconfig() {
  cat >"$2" <<Y
apiVersion: v1
kind: Config
clusters: [{name: stepmemo, cluster: {server: "https://127.0.0.1:$(port 6443)", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$PKI/$1.crt"), client-key-data: $(base64 -w0 "$PKI/$1.key")}}]
contexts: [{name: stepmemo, context: {cluster: stepmemo, user: $1}}]
current-context: stepmemo
Y
  chmod 600 "$2"
}

# Each component has its own identity, as in a real cluster: policies that tell accounts apart mean something.
make_pki() {
  mkdir -p "$PKI"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=stepmemo-cluster-ca \
    -keyout "$PKI/ca.key" -out "$PKI/ca.crt"
  local name=kubernetes.default.svc
  issue kube-apiserver /CN=kube-apiserver \
    "IP:127.0.0.1,IP:$BRIDGE_IP,IP:${SERVICE_CIDR%.*.*}.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:$name,DNS:$name.cluster.local"
  issue admin /O=system:masters/CN=admin
  issue kube-controller-manager /CN=system:kube-controller-manager
  issue kube-scheduler /CN=system:kube-scheduler
  issue kube-proxy /CN=system:kube-proxy
  issue coredns /CN=system:coredns
  issue kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" "IP:$BRIDGE_IP,DNS:$NODE_NAME"
  openssl genrsa -out "$PKI/sa.key" 2048
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub"
  local client
  kubeconfig admin "$KUBECONFIG"
  for client in kube-controller-manager kube-scheduler kube-proxy coredns kubelet; do
    kubeconfig "$client" "$RUN/etc/$client.kubeconfig"
  done
}
