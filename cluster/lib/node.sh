# The node: containerd, kubelet, kube-proxy, kube-scheduler, DNS, and the S3 store. Sourced by up.sh.

NODE_PACKAGES=(containerd runc containernetworking-plugins nftables conntrack kmod busybox-static)

# Pods on the bridge answer each other directly, past the host's NAT, unless the bridge hands its
# packets to netfilter. Where that cannot be had, Service traffic is masqueraded instead.
bridge_netfilter() {
  modprobe br_netfilter 2>/dev/null || true
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
  [ "$(sysctl -n net.bridge.bridge-nf-call-iptables 2>/dev/null)" = 1 ]
}

pod_network() {
  sysctl -n net.ipv4.ip_forward >"$RUN/ip_forward" # put back when we go
  sysctl -qw net.ipv4.ip_forward=1
  # One table for what leaves the pods' network, instead of chains for each pod by the CNI plugin.
  nft -f - <<N
table ip stepmemo {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr $POD_CIDR ip daddr != $POD_CIDR oifname != "$BRIDGE" masquerade
  }
}
N
  mkdir -p "$RUN/cni/net.d"
  cat >"$RUN/cni/net.d/10-bridge.conflist" <<J
{"cniVersion": "0.4.0", "name": "stepmemo", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isDefaultGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$RUN/cni/ipam", "ranges": [[{"subnet": "$POD_CIDR", "gateway": "$BRIDGE_IP"}]]}}]}
J
}

start_containerd() {
  local dir=$RUN/containerd
  mkdir -p "$dir"
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE no score can be lowered.
  # Root of runc, network namespaces: all below our state, so that what is ours can be told.
  cat >"$RUN/etc/containerd.toml" <<T
version = 2
root = "$dir/root"
state = "$dir/state"
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:local"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "$dir/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni/net.d"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/opt"
T
  start containerd containerd --config "$RUN/etc/containerd.toml"
  wait_for 30 containerd ctr_ version
}

start_kubelet() {
  # Control groups may be of either version, and are managed without systemd.
  cat >"$RUN/etc/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
port: $(port 10250)
healthzPort: $(port 10248)
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
containerRuntimeEndpoint: unix://$RUN/containerd/containerd.sock
clusterDNS: [$BRIDGE_IP]
clusterDomain: cluster.local
resolvConf: ""
podLogsDir: $RUN/pod-logs
maxPods: 250
serializeImagePulls: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
Y
  start kubelet "$(artifact kubelet)" --config="$RUN/etc/kubelet.yaml" --kubeconfig="$RUN/etc/kubelet.kubeconfig" \
    --root-dir="$RUN/kubelet" --cert-dir="$RUN/kubelet-pki" --hostname-override="$NODE_NAME" --node-ip="$BRIDGE_IP"
}

start_scheduler() {
  start kube-scheduler "$(artifact kube-scheduler)" --kubeconfig="$RUN/etc/kube-scheduler.kubeconfig" --leader-elect=false \
    --bind-address=127.0.0.1 --secure-port="$(port 10259)" --cert-dir="$PKI"
}

start_proxy() {
  local masquerade=true
  if bridge_netfilter; then masquerade=false; fi
  # Limits of connection tracking at 0: the kernel's own stay, they may not be writable.
  start kube-proxy "$(artifact kube-proxy)" --kubeconfig="$RUN/etc/kube-proxy.kubeconfig" --hostname-override="$NODE_NAME" \
    --proxy-mode=nftables --cluster-cidr="$POD_CIDR" --masquerade-all=$masquerade \
    --healthz-bind-address="127.0.0.1:$(port 10256)" --metrics-bind-address="127.0.0.1:$(port 10249)" \
    --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
}

# Cluster DNS as a process of the host, on the bridge; it knows the cluster's names and no others.
start_dns() {
  kubectl apply -f "$CLUSTER_DIR/manifests/coredns-rbac.yaml" >/dev/null
  cat >"$RUN/etc/Corefile" <<C
cluster.local:53 {
  bind $BRIDGE_IP
  errors
  cache 5
  kubernetes cluster.local {
    kubeconfig $RUN/etc/coredns.kubeconfig
  }
}
C
  start coredns "$(artifact coredns)" -conf "$RUN/etc/Corefile"
}

node() {
  pod_network
  start_containerd
  start_kubelet
  start_scheduler
  start_proxy
  start_dns
  base_images
  wait_for 90 kubelet kubectl wait --for=condition=Ready "node/$NODE_NAME" --timeout=1s
  say "node Ready"
  kubectl apply -f "$CLUSTER_DIR/manifests/s3.yaml" >/dev/null
}
