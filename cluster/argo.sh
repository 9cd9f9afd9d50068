#!/usr/bin/env bash
# Installs Argo Workflows VERSION into the running cluster as its own manifests ship it (cluster-install:
# CRDs, roles, the controller's Deployment). Another version that is there goes first, with its workflows.
#   argo.sh VERSION     4.0.5, 3.7.15, 3.4.17
#   argo.sh none        removes it
#   argo.sh --into KUBECONFIG VERSION   into another cluster, which has no Argo Workflows and pulls its images itself
# What differs from the shipped manifests: no argo-server (nothing here uses its UI or API), an artifact
# repository, and DEFAULT_REQUEUE_TIME (ARGO_REQUEUE, 1s; "default" leaves it as shipped, 10 s).
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$CLUSTER_DIR/lib/images.sh"

STATE=$RUN/argo # of the version that is installed
KINDS=workflows,cronworkflows,workflowtemplates,clusterworkflowtemplates,workflowtaskresults,workflowtasksets,workflowartifactgctasks

# crd_folder VERSION: the full CRDs where cluster-install ships them (4.x), else the minimal ones.
crd_folder() {
  local manifests
  manifests=$(artifact "argo-manifests-$1")
  if grep -F base/crds/full "$manifests/cluster-install/kustomization.yaml" >/dev/null; then
    echo "$manifests/base/crds/full"
  else
    echo "$manifests/base/crds/minimal"
  fi
}

# crds VERB VERSION [OPTION]...: one kubectl call for all of them. They do not go through kustomize or a
# server-side apply: with the full ones (11 MB) each of these takes as long as all the rest of the cluster.
crds() {
  local verb=$1 file files=()
  for file in "$(crd_folder "$2")"/argoproj.io_*.yaml; do files+=(-f "$file"); done
  shift 2
  kubectl "$verb" "${files[@]}" "$@" >/dev/null
}

render() { # VERSION: the shipped controller and its roles; prints them
  local manifests roles requeue=${ARGO_REQUEUE:-1s}
  manifests=$(artifact "argo-manifests-$1")
  roles=$(ls -d "$manifests"/cluster-install{-no-crds,}/workflow-controller-rbac 2>/dev/null | head -n 1 || true)
  cat >"$STATE/kustomization.yaml" <<Y
namespace: argo
resources:
- $(realpath --relative-to="$STATE" "$manifests/base/workflow-controller")
- $(realpath --relative-to="$STATE" "$roles")
images:
- {name: quay.io/argoproj/workflow-controller, newTag: v$1}
patches:
Y
  # The test store is in our own cluster alone.
  [ -n "$INTO" ] || echo "- path: configmap.yaml" >>"$STATE/kustomization.yaml"
  [ "$requeue" = default ] || cat >>"$STATE/kustomization.yaml" <<Y
- target: {kind: Deployment, name: workflow-controller}
  patch: '[{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "DEFAULT_REQUEUE_TIME", "value": "$requeue"}}]'
Y
  cp "$CLUSTER_DIR/manifests/argo-configmap.yaml" "$STATE/configmap.yaml"
  kubectl kustomize "$STATE"
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

installed_version() { cat "$STATE/version" 2>/dev/null; }

uninstall() {
  local v
  v=$(installed_version) || return 0
  say "removing Argo Workflows $v and its workflows"
  delete_objects
  [ ! -e "$STATE/rendered.yaml" ] || kubectl delete -f "$STATE/rendered.yaml" --ignore-not-found --timeout=60s >/dev/null
  crds delete "$v" --ignore-not-found --timeout=60s
  # Or the next controller would wait for the lease of this one to run out.
  kubectl delete lease -n argo --all >/dev/null 2>&1 || true
  rm -rf "$STATE"
}

install_version() {
  local v=$1
  if [ -n "$INTO" ]; then "$CLUSTER_DIR/build.sh" argo-manifests "$v"; else "$CLUSTER_DIR/build.sh" argo "$v"; fi
  [ "$(installed_version || echo "$v")" = "$v" ] || uninstall
  mkdir -p "$STATE"
  if [ ! -e "$STATE/version" ]; then
    # Some are there already when an earlier run was killed.
    crds create "$v" 2>/dev/null || { crds delete "$v" --ignore-not-found && crds create "$v"; }
    echo "$v" >"$STATE/version"
  fi
  [ -n "$INTO" ] || argo_images "$v"
  crds wait "$v" --for=condition=Established --timeout=60s
  kubectl get namespace argo >/dev/null 2>&1 || kubectl create namespace argo >/dev/null
  render "$v" >"$STATE/rendered.yaml"
  kubectl apply -f "$STATE/rendered.yaml" -f "$CLUSTER_DIR/manifests/argo-executor.yaml" >/dev/null
  kubectl rollout status -n argo deployment/workflow-controller --timeout=120s >/dev/null
  wait_for 60 - leading
  say "Argo Workflows $v runs (DEFAULT_REQUEUE_TIME: ${ARGO_REQUEUE:-1s})"
}

# leading: the controller holds its lease, so it works.
leading() {
  local holder
  holder=$(kubectl get lease -n argo workflow-controller -o jsonpath='{.spec.holderIdentity}')
  [ -n "$holder" ] && kubectl get pod -n argo "$holder" >/dev/null
}

# install_into KUBECONFIG VERSION: nothing of an instance of ours is used.
install_into() {
  INTO=$(realpath "$1")
  STATE=$(mktemp -d)
  trap 'rm -rf "$STATE"' EXIT
  export KUBECONFIG=$INTO
  "$CLUSTER_DIR/build.sh" kubectl
  kubectl() { "$(artifact kubectl)" "$@"; }
  ! kubectl get crd workflows.argoproj.io >/dev/null 2>&1 || die "Argo Workflows is already there"
  install_version "$2"
}

INTO=
case ${1:-} in
  --into)
    [ $# = 3 ] || {
      usage
      exit 2
    }
    install_into "$2" "${3#v}"
    exit
    ;;
  '' | -*)
    usage
    exit 2
    ;;
esac
need_root
is_full || die "no full cluster at $RUN"
case $1 in
  none) uninstall ;;
  *) install_version "${1#v}" ;;
esac
