#!/usr/bin/env bash
# Builds the image for amd64 and arm64 as a release does, joins both into one index in a registry of this machine, and looks
# at what the registry then holds. On a full cluster, where one is up, stepmemo is then installed from that registry, seen to serve
# hits and removed: by the demo, by kustomize and by Helm.
# Nothing is emulated.
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$CLUSTER_DIR/lib/images.sh"
. "$CLUSTER_DIR/lib/docker.sh"

ROOT=$(cd "$CLUSTER_DIR/.." && pwd)
PLATFORMS=linux/amd64,linux/arm64
REGISTRY=127.0.0.1:$(port 5001)
IMAGE=$REGISTRY/stepmemo
WORK=$(mktemp -d)
export DOCKER_CLI_EXPERIMENTAL=enabled DOCKER_CONFIG=$WORK/docker

# --- what a release pulls, made here -----------------------------------------------------------

# debian_image: Debian with apt, from the packages that this machine installs from.
debian_image() {
  say "making an image of Debian"
  mmdebstrap --variant=apt --quiet --include=ca-certificates --architectures=amd64 "$(. /etc/os-release && echo "$VERSION_CODENAME")" \
    "$WORK/debian.tar" /etc/apt/sources.list.d/debian.sources >"$CACHE/log/debian.log" 2>&1 ||
    { tail -n 5 "$CACHE/log/debian.log" >&2; die "the image of Debian cannot be made"; }
  docker import --platform linux/amd64 "$WORK/debian.tar" debian:local >/dev/null
}

# foreign_base REFERENCE ARCHITECTURE FILE: a base for another architecture: npm's Node.js, and the libraries of Debian's packages.
foreign_base() {
  local root apt=$WORK/apt-$2 library
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,packages}
  touch "$apt/status"
  (
    cd "$apt/packages"
    own=(-o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache" -o "APT::Architecture=$2" -o "APT::Architectures=$2")
    apt-get "${own[@]}" update
    apt-get "${own[@]}" download libc6 libstdc++6 libgcc-s1
  ) >"$CACHE/log/apt-$2.log" 2>&1 || { tail -n 5 "$CACHE/log/apt-$2.log" >&2; die "the libraries for $2 cannot be downloaded"; }
  (cd "$apt" && npm pack --silent "node-linux-$2@$NODE_VERSION" && tar xzf node-linux-*.tgz package/bin/node) >/dev/null
  root=$(base_root "$apt/package/bin/node")
  for library in "$apt"/packages/*.deb; do dpkg-deb --extract "$library" "$root"; done
  pack_base "$1" "$root" "$3" "$2"
}

# --- building and joining ----------------------------------------------------------------------

build() { # ARCHITECTURE
  say "building $IMAGE:$VERSION-$1"
  # The tini stage installs from Debian: the one step that needs the network.
  DOCKER_BUILDKIT=1 docker build --network host --platform "linux/$1" --build-arg "TARGETARCH=$1" --build-arg "PLATFORMS=$PLATFORMS" \
    --build-arg "BASE=stepmemo-base:$1" --build-arg DEBIAN=debian:local --build-arg "VERSION=$VERSION" \
    -t "$IMAGE:$VERSION-$1" "$ROOT" >"$CACHE/log/docker-build-$1.log" 2>&1 ||
    { tail -n 20 "$CACHE/log/docker-build-$1.log" >&2; die "docker build for $1 failed"; }
  docker push -q "$IMAGE:$VERSION-$1" >/dev/null
}

serve_registry() {
  cat >"$WORK/registry.yaml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $WORK/registry}}
http: {addr: "$REGISTRY"}
YAML
  docker-registry serve "$WORK/registry.yaml" >"$CACHE/log/registry.log" 2>&1 &
  registry=$!
  wait_for 5 - curl -sf -o /dev/null "http://$REGISTRY/v2/"
}

# --- what is there -----------------------------------------------------------------------------

# machine FILE: the architecture that an ELF program is for.
machine() { case $(od -An -tu2 -j18 -N2 "$1" | tr -d ' ') in 62) echo amd64 ;; 183) echo arm64 ;; *) echo unknown ;; esac; }

look_at() { # ARCHITECTURE
  local digest config program found id=$WORK/look-$1
  digest=$(jq -r --arg a "$1" '.manifests[] | select(.platform.os == "linux" and .platform.architecture == $a).digest' "$WORK/index.json")
  [ -n "$digest" ] || die "the index has no image for $1"
  manifest "$digest" application/vnd.docker.distribution.manifest.v2+json >"$id.json"
  config=$(curl -sf "http://$REGISTRY/v2/stepmemo/blobs/$(jq -r .config.digest "$id.json")")
  [ "$(jq -r .architecture <<<"$config")" = "$1" ] || die "the image for $1 says that it is for $(jq -r .architecture <<<"$config")"
  jq -e --arg p "STEPMEMO_SIDECAR_PLATFORMS=$PLATFORMS" '.config.Env | index($p)' <<<"$config" >/dev/null || die "the image for $1 does not say its platforms"
  mkdir -p "$id"
  for layer in $(jq -r '.layers[].digest' "$id.json"); do
    curl -sf "http://$REGISTRY/v2/stepmemo/blobs/$layer" | tar -xz -C "$id"
  done
  for program in nodejs/bin/node usr/bin/tini-static; do
    found=$(machine "$id/$program")
    [ "$found" = "$1" ] || die "/$program of the image for $1 is for $found"
  done
  [ -e "$id/app/stepmemo.mjs" ] && [ -e "$id/app/capture.mjs" ] || die "the image for $1 lacks a program"
  say "linux/$1: Node.js, tini and both programs are there, $(jq '[.layers[].size] | add / 1e6 | floor' "$id.json") MB to pull"
}

manifest() { curl -sf -H "Accept: $2" "http://$REGISTRY/v2/stepmemo/manifests/$1"; } # REFERENCE TYPE

# --- installed from there ----------------------------------------------------------------------

# A stranger's walk: the commands of the README, each way, up to a hit, and away again.
install_each_way() {
  local helm way t
  helm=$("$CLUSTER_DIR/build.sh" helm 3 | tail -n 1)
  export PATH=$RUN/bin:$PATH
  for way in demo kustomize helm; do
    t=$SECONDS
    "install_by_$way" >"$CACHE/log/install-$way.log" 2>&1 || { tail -n 20 "$CACHE/log/install-$way.log" >&2; die "$way: no hit"; }
    say "$way: a miss and hits after $((SECONDS - t)) s"
    t=$SECONDS
    "remove_by_$way" >"$CACHE/log/remove-$way.log" 2>&1 || { tail -n 20 "$CACHE/log/remove-$way.log" >&2; die "$way: not removed"; }
    no_trace
    say "$way: removed without a trace after $((SECONDS - t)) s"
  done
}

see_hits() { "$ROOT/node_modules/.bin/node" "$ROOT/scripts/demo.ts" --kubeconfig "$KUBECONFIG" --kubectl "$RUN/bin/kubectl"; }
stepmemo() { "$ROOT/bin/stepmemo.mjs" "$@"; }

install_by_demo() { CONFIRM=1 IMAGE=$IMAGE:$VERSION "$ROOT/scripts/demo.sh" --kubeconfig "$KUBECONFIG"; }
remove_by_demo() { stepmemo uninstall --yes; }

install_by_kustomize() {
  mkdir -p "$WORK/overlay"
  cp -r "$ROOT/manifests" "$WORK/overlay/"
  cat >"$WORK/overlay/kustomization.yaml" <<YAML
resources: [manifests/base]
images: [{name: stepmemo, newName: $IMAGE, newTag: "$VERSION"}]
transformers: [manifests/wiring]
YAML
  kubectl apply -k "$WORK/overlay"
  kubectl -n stepmemo rollout status deployment/stepmemo --timeout=180s
  see_hits
}
remove_by_kustomize() { stepmemo uninstall --yes; }

install_by_helm() {
  "$helm" install stepmemo "$ROOT/charts/stepmemo" -n stepmemo --create-namespace --wait \
    --set "image.repository=$IMAGE" --set "image.tag=$VERSION"
  see_hits
}
remove_by_helm() { "$helm" uninstall stepmemo -n stepmemo --wait && kubectl delete namespace stepmemo; } # Helm leaves it

no_trace() {
  local kinds left
  kinds=$(kubectl api-resources --verbs=list -o name | grep -vE '^events|^pods\.metrics|^nodes\.metrics' | paste -sd,)
  left=$(kubectl get "$kinds" -A -l app.kubernetes.io/part-of=stepmemo -o name 2>/dev/null)
  [ -z "$left" ] || die "left behind: $left"
}

# --- all of it ---------------------------------------------------------------------------------

[ -e "$ROOT/dist/stepmemo.mjs" ] || die "dist/ is not built: make build"
apt_install jq ca-certificates curl mmdebstrap docker-registry docker.io
VERSION=$(jq -r .version "$ROOT/package.json")
mkdir -p "$CACHE"/{images,log}
"$CLUSTER_DIR/build.sh" nodejs
lock dockerd
registry=
with_own_daemon
trap '[ -z "$registry" ] || kill "$registry" 2>/dev/null; remove_daemon; rm -rf "$WORK"' EXIT
serve_registry
debian_image
make_base stepmemo-base:amd64 "$CACHE/bin/nodejs-$NODE_VERSION" "$WORK/base.tar"
docker load -q -i "$WORK/base.tar" >/dev/null
foreign_base stepmemo-base:arm64 arm64 "$WORK/base.tar"
docker load -q -i "$WORK/base.tar" >/dev/null
build amd64
build arm64
docker manifest create --insecure "$IMAGE:$VERSION" "$IMAGE:$VERSION-amd64" "$IMAGE:$VERSION-arm64" >/dev/null
docker manifest push --insecure "$IMAGE:$VERSION" >/dev/null
manifest "$VERSION" application/vnd.docker.distribution.manifest.list.v2+json >"$WORK/index.json"
look_at amd64
look_at arm64
say "one index has both: $IMAGE:$VERSION"
is_full || { say "no full cluster is up at $RUN: not installed from the registry"; exit 0; }
install_each_way
