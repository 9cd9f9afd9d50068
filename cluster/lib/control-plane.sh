# etcd, kube-apiserver and kube-controller-manager, as processes of the host. Sourced by up.sh.

# The bridge is there from the start, whatever comes after: the API server advertises its address,
# and webhooks that run on the host are reached by it (loopback is refused in an EndpointSlice).
# Instances share it.
make_bridge() {
  lock bridge
  if ! ip link show "$BRIDGE" >/dev/null 2>&1; then
    ip link add "$BRIDGE" type bridge
    ip addr add "$BRIDGE_IP/${POD_CIDR#*/}" dev "$BRIDGE"
    ip link set "$BRIDGE" up
  fi
  unlock
}

start_etcd() {
  local client peer
  client=http://127.0.0.1:$(port 12379) peer=http://127.0.0.1:$(port 12380)
  start etcd "$(artifact etcd)" --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
}

start_apiserver() {
  # --enable-aggregator-routing: a webhook's Service is resolved to its endpoints, without kube-proxy.
  # --kubelet-preferred-address-types: the node's name resolves nowhere (kubectl logs, exec).
  start kube-apiserver "$(artifact "$API_SERVER")" --etcd-servers="http://127.0.0.1:$(port 12379)" \
    --bind-address=0.0.0.0 --secure-port="$(port 6443)" --advertise-address="$BRIDGE_IP" \
    --tls-cert-file="$PKI/kube-apiserver.crt" --tls-private-key-file="$PKI/kube-apiserver.key" --cert-dir="$PKI" \
    --client-ca-file="$PKI/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --allow-privileged=true --profiling=false --service-cluster-ip-range="$SERVICE_CIDR" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$PKI/sa.pub" \
    --service-account-signing-key-file="$PKI/sa.key" --enable-aggregator-routing=true \
    --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
    --kubelet-preferred-address-types=InternalIP
}

control_plane() {
  start_etcd
  make_bridge
  start_apiserver
  wait_for 60 kube-apiserver kubectl get --raw /readyz
  wait_for 30 kube-apiserver kubectl get namespace default
}

# Without the controller-manager nobody makes this account, and no pod is admitted without it.
default_account() { kubectl create serviceaccount default >/dev/null; }

controllers() {
  start kube-controller-manager "$(artifact kube-controller-manager)" \
    --kubeconfig="$RUN/etc/kube-controller-manager.kubeconfig" --leader-elect=false \
    --use-service-account-credentials=true --service-account-private-key-file="$PKI/sa.key" \
    --root-ca-file="$PKI/ca.crt" --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --allocate-node-cidrs=false --cert-dir="$PKI" --bind-address=127.0.0.1 --secure-port="$(port 10257)"
  wait_for 60 kube-controller-manager kubectl get serviceaccount default
}
