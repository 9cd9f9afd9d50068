#!/usr/bin/env bash
# Says what of an instance runs; exit code 0 when all that it should run does.
# Environment: STEPMEMO_RUN (state, /tmp/stepmemo).
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
[ $# = 0 ] || {
  usage
  exit 2
}
[ -e "$RUN/mode" ] || {
  echo "no cluster at $RUN: make cluster-up"
  exit 1
}
mode=$(cat "$RUN/mode") up=0
down() {
  echo "$*"
  up=1
}

processes() {
  local name pid
  for name in $(ls "$RUN/pids"); do
    if pid=$(pid_of "$name"); then printf '%-24s pid %s, %s MiB\n' "$name" "$pid" "$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status")"; else down "$name does not run: $RUN/log/$name.log"; fi
  done
}

deployment_image() { # NAMESPACE NAME
  kubectl get deployment -n "$1" "$2" -o jsonpath='{.spec.template.spec.containers[0].image} ({.status.readyReplicas} of {.spec.replicas} ready)' 2>/dev/null || echo "not installed"
}

node_status() {
  kubectl get nodes
  kubectl wait --for=condition=Ready "node/$NODE_NAME" --timeout=0 >/dev/null 2>&1 || down "the node is not Ready"
  echo "Argo Workflows: $(deployment_image argo workflow-controller)"
  echo "stepmemo: $(deployment_image stepmemo stepmemo)"
  echo "pods that are neither running and Ready nor ended:"
  kubectl get pods -A -o json | jq -r '
    [.items[] | select(.status.phase == "Pending" or (.status.phase == "Running" and any(.status.containerStatuses[]?; .ready | not)))
      | "  \(.metadata.namespace)/\(.metadata.name) \(.status.phase) \([.status.containerStatuses[]?.state.waiting.reason // empty] | join(","))"]
    | if . == [] then "  none" else .[] end'
}

echo "instance $RUN: $mode"
[ -e "$RUN/ready" ] || down "it never got ready: run make cluster-up again"
processes
if kubectl get --raw /readyz >/dev/null 2>&1; then
  echo "API server ready at https://127.0.0.1:$(port 6443)"
  [ "$mode" != full ] || node_status
else
  down "the API server does not answer"
fi
echo "KUBECONFIG=$KUBECONFIG"
exit $up
