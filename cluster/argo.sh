#!/usr/bin/env bash
# Installs Argo Workflows VERSION into the running cluster as its own manifests ship it (cluster-install:
# CRDs, roles, the controller's Deployment). Another version that is there goes first, with its workflows.
#   argo.sh VERSION     4.0.5, 3.7.15, 3.4.17
#   argo.sh none        removes it
# What differs from the shipped manifests: no argo-server (nothing here uses its UI or API), an artifact
# repository, and DEFAULT_REQUEUE_TIME (ARGO_REQUEUE, 1s; "default" leaves it as shipped, 10 s).
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$CLUSTER_DIR/lib/images.sh"

RENDERED=$RUN/argo/rendered.yaml # of the version that is installed
KINDS=workflows,cronworkflows,workflowtemplates,clusterworkflowtemplates,workflowtaskresults,workflowtasksets,workflowartifactgctasks

render() { # VERSION: kustomizes the shipped manifests; prints them
  local dir=$RUN/argo requeue=${ARGO_REQUEUE:-1s}
  mkdir -p "$dir"
  cat >"$dir/kustomization.yaml" <<Y
namespace: argo
resources: [$(realpath --relative-to="$dir" "$(artifact "argo-manifests-$1")/cluster-install")]
images:
- {name: quay.io/argoproj/workflow-controller, newTag: v$1}
patches:
- target: {name: argo-server.*}
  patch: '{"\$patch": delete, "apiVersion": v1, "kind": any, "metadata": {"name": any}}'
- target: {kind: ConfigMap, name: workflow-controller-configmap}
  path: configmap.yaml
Y
  [ "$requeue" = default ] || cat >>"$dir/kustomization.yaml" <<Y
- target: {kind: Deployment, name: workflow-controller}
  patch: '[{"op": add, "path": /spec/template/spec/containers/0/env/-, "value": {"name": DEFAULT_REQUEUE_TIME, "value": "$requeue"}}]'
Y
  cp "$CLUSTER_DIR/manifests/argo-configmap.yaml" "$dir/configmap.yaml"
  kubectl kustomize "$dir"
}

# What Argo keeps finalizers on ends with the controller there to remove them; what is left is freed.
delete_objects() {
  local name ns
  kubectl delete "$KINDS" --all -A --timeout=20s >/dev/null 2>&1 || true
  { kubectl get "$KINDS" -A -o json; kubectl get pods -A -l workflows.argoproj.io/workflow -o json; } 2>/dev/null |
    jq -r '.items[] | select(.metadata.finalizers) | "\(.kind)/\(.metadata.name) \(.metadata.namespace // "default")"' |
    while read -r name ns; do
      kubectl patch "$name" -n "$ns" --type=merge -p '{"metadata": {"finalizers": null}}' >/dev/null 2>&1 || true
    done
  kubectl delete pods -A -l workflows.argoproj.io/workflow --grace-period=0 --force >/dev/null 2>&1 || true
}

uninstall() {
  [ -e "$RENDERED" ] || return 0
  say "removing Argo Workflows $(cat "$RUN/argo/version")"
  delete_objects
  kubectl delete -f "$RENDERED" --ignore-not-found --timeout=60s >/dev/null
  # Or the next controller would wait for the lease of this one to run out.
  kubectl delete lease -n argo --all >/dev/null 2>&1 || true
  rm -rf "$RUN/argo"
}

install_version() {
  local v=$1 new
  "$CLUSTER_DIR/build.sh" argo "$v"
  [ "$(cat "$RUN/argo/version" 2>/dev/null || echo "$v")" = "$v" ] || uninstall
  argo_images "$v"
  kubectl get namespace argo >/dev/null 2>&1 || kubectl create namespace argo >/dev/null
  new=$(render "$v")
  printf '%s\n' "$new" >"$RENDERED"
  echo "$v" >"$RUN/argo/version"
  # Server-side: the full CRDs are too large for the annotation of a client-side apply.
  kubectl apply --server-side --force-conflicts -f "$RENDERED" >/dev/null
  kubectl apply -f "$CLUSTER_DIR/manifests/argo-executor.yaml" >/dev/null
  kubectl rollout status -n argo deployment/workflow-controller --timeout=90s >/dev/null
  wait_for 60 - leading
  say "Argo Workflows $v runs (DEFAULT_REQUEUE_TIME ${ARGO_REQUEUE:-1s})"
}

# leading: the controller holds its lease, so it works.
leading() {
  local holder
  holder=$(kubectl get lease -n argo workflow-controller -o jsonpath='{.spec.holderIdentity}')
  [ -n "$holder" ] && kubectl get pod -n argo "$holder" >/dev/null
}

[ $# = 1 ] || {
  usage
  exit 2
}
need_root
[ "$(cat "$RUN/mode" 2>/dev/null)" = full ] || die "no full cluster at $RUN"
case $1 in
  none) uninstall ;;
  *) install_version "${1#v}" ;;
esac
