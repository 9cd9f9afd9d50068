#!/usr/bin/env bash
# make demo: the main job on a real cluster, with all its own set-up.
#   scripts/demo.sh                     on the local cluster (cluster/), which it brings up
#   scripts/demo.sh --kubeconfig FILE   on a cluster of yours: says what it will install, and needs CONFIRM=1
# For a cluster of yours: IMAGE is the image of stepmemo as that cluster can pull it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

foreign=
if [ "${1:-}" = --kubeconfig ]; then
  foreign=$2
  [ -r "$foreign" ] || { echo "make demo: KUBECONFIG=$foreign cannot be read"; exit 2; }
fi

if [ -z "$foreign" ]; then
  run=${STEPMEMO_RUN:-/tmp/stepmemo}
  cluster/up.sh
  scripts/install.sh "$run/kubeconfig" "$run/bin/kubectl"
  node scripts/demo.ts --kubeconfig "$run/kubeconfig" --kubectl "$run/bin/kubectl"
  cat <<END

To look around:   export KUBECONFIG=$run/kubeconfig
                  $run/bin/kubectl get workflows,pods,configmaps -n stepmemo-demo
                  $run/bin/kubectl get events -n stepmemo-demo
                  $run/bin/kubectl logs -n stepmemo deployment/stepmemo
To stop:          make cluster-down
END
  exit 0
fi

kubectl=$(command -v kubectl) || { echo 'make demo: kubectl is not on the PATH'; exit 2; }
image=${IMAGE:-}
has_argo=$("$kubectl" --kubeconfig "$foreign" get crd workflows.argoproj.io --ignore-not-found -o name)
cat <<END
Cluster:   $("$kubectl" --kubeconfig "$foreign" config current-context) ($("$kubectl" --kubeconfig "$foreign" config view --minify -o 'jsonpath={.clusters[0].cluster.server}'))
Installs:  stepmemo from manifests/ with the image ${image:-(none given: set IMAGE=…)}
           $([ -n "$has_argo" ] && echo 'nothing of Argo Workflows: it is there' || echo "Argo Workflows ${ARGO:-4.0.5} in the namespace argo")
           a namespace stepmemo-demo, which is deleted first if it exists
END
[ -n "$image" ] || { echo "Build the image with 'make image IMAGE=REGISTRY/stepmemo:TAG', push it to where that cluster pulls from, and say IMAGE=… here too."; exit 2; }
[ "${CONFIRM:-}" = 1 ] || { echo 'Nothing was done. Say CONFIRM=1 to go on.'; exit 2; }
[ -n "$has_argo" ] || cluster/argo.sh --into "$foreign" "${ARGO:-4.0.5}"
IMAGE=$image scripts/install.sh "$foreign" "$kubectl"
node scripts/demo.ts --kubeconfig "$foreign" --kubectl "$kubectl"
cat <<END

To look around:   kubectl --kubeconfig $foreign get workflows,pods,configmaps -n stepmemo-demo
To remove it:     npx --no-install stepmemo uninstall --kubeconfig $foreign --yes; kubectl --kubeconfig $foreign delete namespace stepmemo-demo
END
