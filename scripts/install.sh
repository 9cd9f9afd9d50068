#!/usr/bin/env bash
# Installs stepmemo from manifests/ and waits until it is ready.
#   scripts/install.sh KUBECONFIG KUBECTL
# IMAGE (stepmemo:local) is the image; that one is built here, and handed to the local cluster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export KUBECONFIG=$1
kubectl=$2
image=${IMAGE:-stepmemo:local}

[ "$image" != stepmemo:local ] || make --no-print-directory cluster-image
# A kustomization of its own sets the image: the manifests themselves stay as shipped.
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
cp -r manifests "$overlay/manifests"
cat >"$overlay/kustomization.yaml" <<END
resources: [manifests/base]
images: [{name: stepmemo, newName: "${image%:*}", newTag: "${image##*:}"}]
transformers: [manifests/wiring]
END
was_there=$("$kubectl" get deployment stepmemo -n stepmemo --ignore-not-found -o name)
"$kubectl" apply --server-side --force-conflicts -k "$overlay" >/dev/null
# The tag says nothing of what the image holds: pods of an older build are replaced.
[ -z "$was_there" ] || "$kubectl" rollout restart deployment/stepmemo -n stepmemo >/dev/null
"$kubectl" rollout status deployment/stepmemo -n stepmemo --timeout=180s
