#!/usr/bin/env bash
# Brings up a single-node Kubernetes, and Argo Workflows in it.
#   up.sh                   all of it: control plane, node (containerd, kubelet), Services, DNS,
#                           S3 store, Argo Workflows (ARGO=4.0.5; 3.7.15, 3.4.17, none)
#   up.sh --controllers     etcd, kube-apiserver, kube-controller-manager (accounts, garbage collection)
#   up.sh --control-plane   etcd, kube-apiserver: up in seconds, for tests of webhooks and of the API
# An instance that is already up and healthy is kept; anything else that is left of it is removed first.
# The last line printed is KUBECONFIG=<path>.
# Environment: STEPMEMO_RUN (state, /tmp/stepmemo), STEPMEMO_PORT_OFFSET (0), STEPMEMO_CACHE, ARGO, ARGO_REQUEUE,
# K8S (an API server of this version, and the rest as ever: 1.37.2, 1.30.14).
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
for part in cleanup pki control-plane node images; do . "$CLUSTER_DIR/lib/$part.sh"; done

ARGO=${ARGO:-4.0.5}
case ${1:-full} in
  full | --full) mode=full ;;
  --controllers) mode=controllers ;;
  --control-plane) mode=control-plane ;;
  *)
    usage
    exit 2
    ;;
esac

# healthy: what belongs to this mode runs and answers.
healthy() {
  local name
  [ "$(cat "$RUN/mode" 2>/dev/null)" = "$mode" ] && [ "$(cat "$RUN/api-server" 2>/dev/null)" = "$API_SERVER" ] && [ -e "$RUN/ready" ] || return 1
  for name in $(cd "$RUN/pids" && ls); do running "$name" || return 1; done
  kubectl get --raw /readyz >/dev/null 2>&1
}

# The node's addresses, its mounts of cgroups and kube-proxy's tables exist once on a machine.
only_node() {
  [ -z "$(other_node)" ] || die "a full cluster already runs on this machine: STEPMEMO_RUN=$(other_node)"
  ! foreign kubelet || die "another kubelet runs on this machine; a full cluster cannot run beside it"
}

build() {
  case $mode in
    full)
      "$CLUSTER_DIR/build.sh" control-plane node
      [ "$ARGO" = none ] || "$CLUSTER_DIR/build.sh" argo "$ARGO"
      ;;
    *) "$CLUSTER_DIR/build.sh" "$mode" ;;
  esac
}

need_root
apt_install iproute2 openssl jq
[ $mode != full ] || apt_install "${NODE_PACKAGES[@]}"
build
instance_lock
t0=$(date +%s%N)
if ! healthy; then
  [ $mode != full ] || only_node
  clean_up
  mkdir -p "$RUN"/{etc,log,pids,bin}
  touch "$RUN/.stepmemo"
  echo $mode >"$RUN/mode"
  echo "$API_SERVER" >"$RUN/api-server"
  ln -s "$(artifact kubectl)" "$RUN/bin/kubectl"
  make_pki 2>"$RUN/log/openssl.log"
  control_plane
  say "API server at https://127.0.0.1:$(port 6443)"
  case $mode in
    control-plane) default_account ;;
    controllers) controllers ;;
    full)
      controllers
      node
      ;;
  esac
  touch "$RUN/ready"
else
  say "already up"
fi
[ $mode != full ] || "$CLUSTER_DIR/argo.sh" "$ARGO"
say "up in $(awk "BEGIN {printf \"%.1f\", ($(date +%s%N) - $t0) / 1e9}") s; kubectl: $RUN/bin/kubectl; logs: $RUN/log; stop: make cluster-down"
echo "KUBECONFIG=$KUBECONFIG"
