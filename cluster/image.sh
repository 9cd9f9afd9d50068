#!/usr/bin/env bash
# Builds stepmemo's image for the local cluster from dist/ (make build), keeps it in the cache as an archive, and hands it to
# the cluster when a full one is up. Nothing is pulled: the base and the daemon are made here too. (Elsewhere: make image.)
#   image.sh                 build (when something changed) and import
#   image.sh import          import the archive that was built before
# Environment: IMAGE (stepmemo:local); BASE (a base image to pull instead of the one made here);
#   DOCKER_HOST (a daemon to use; by default one is started for the build, and ended after it).
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$CLUSTER_DIR/lib/images.sh"
. "$CLUSTER_DIR/lib/docker.sh"

ROOT=$(cd "$CLUSTER_DIR/.." && pwd)
IMAGE=${IMAGE:-stepmemo:local}
LOCAL_BASE=stepmemo-base:local
ARCHIVE=$CACHE/images/$(printf %s "$IMAGE" | tr -c 'A-Za-z0-9.-' _).tar

# --- the context and the base ------------------------------------------------------------------

make_context() { # DIR
  [ -e "$ROOT/dist/stepmemo.mjs" ] && [ -e "$ROOT/dist/capture.mjs" ] || die "dist/ is not built: make build"
  apt_install tini
  mkdir -p "$1/dist"
  cp "$ROOT"/dist/*.mjs "$ROOT"/dist/*.txt "$1/dist/" # no source maps: they are larger than the rest
  cp -r "$ROOT/manifests" "$ROOT/Dockerfile" "$ROOT/.dockerignore" "$1/"
  chmod -R u=rwX,go=rX "$1"
}

# digest DIR: of all that decides what the image is.
digest() {
  {
    echo "$IMAGE ${BASE:-$NODE_VERSION}"
    cat "${BASH_SOURCE[0]}" "$CLUSTER_DIR"/lib/{images,docker}.sh /usr/bin/tini-static
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
  } | sha256sum | cut -d' ' -f1
}

# --- what is asked for -------------------------------------------------------------------------

build() {
  local work context base=${BASE:-$LOCAL_BASE} sum t=$SECONDS
  work=$(mktemp -d)
  context=$work/context
  trap 'rm -rf "$work"' RETURN
  make_context "$context"
  sum=$(digest "$context")
  if [ -e "$ARCHIVE" ] && [ "$(cat "$ARCHIVE.digest" 2>/dev/null)" = "$sum" ]; then
    say "$IMAGE is up to date"
    return 0
  fi
  mkdir -p "$CACHE"/{images,log}
  lock dockerd
  [ -n "${DOCKER_HOST:-}" ] || with_own_daemon
  if [ -z "${BASE:-}" ]; then
    "$CLUSTER_DIR/build.sh" nodejs
    make_base "$LOCAL_BASE" "$CACHE/bin/nodejs-$NODE_VERSION" "$work/base.tar" /usr/bin/tini-static
    docker load -q -i "$work/base.tar" >/dev/null
  fi
  # On a base that is pulled, tini comes as it does in a release; ours has it.
  local how=()
  [ -n "${BASE:-}" ] || how=(--network none --target stepmemo)
  say "building $IMAGE"
  # The classic builder: BuildKit's client is a package of its own in newer versions of Docker.
  DOCKER_BUILDKIT=0 docker build "${how[@]}" --build-arg "BASE=$base" \
    --build-arg "VERSION=$(jq -r .version "$ROOT/package.json")" \
    --build-arg "REVISION=$(git -C "$ROOT" rev-parse HEAD 2>/dev/null || echo unknown)" \
    -t "$IMAGE" "$context" >"$CACHE/log/docker-build.log" 2>&1 || {
    tail -n 20 "$CACHE/log/docker-build.log" >&2
    die "docker build failed"
  }
  docker save "$IMAGE" -o "$ARCHIVE.tmp"
  rm -f "$ARCHIVE.digest"
  mv "$ARCHIVE.tmp" "$ARCHIVE"
  echo "$sum" >"$ARCHIVE.digest"
  say "built $IMAGE in $((SECONDS - t)) s: $(docker image inspect -f '{{.Size}}' "$IMAGE" | awk '{printf "%.0f", $1 / 1e6}') MB, of which base $(docker image inspect -f '{{.Size}}' "$base" | awk '{printf "%.0f", $1 / 1e6}') MB"
}

import() {
  [ -e "$ARCHIVE" ] || die "$IMAGE is not built yet: make cluster-image"
  if ! is_full; then
    say "no full cluster is up at $RUN: not imported (later: cluster/image.sh import)"
    return 0
  fi
  ctr_ images import "$ARCHIVE" >/dev/null
  say "$IMAGE is in the cluster"
}

case ${1:-build} in
  build)
    apt_install jq ca-certificates
    build
    import
    ;;
  import) import ;;
  *)
    usage
    exit 2
    ;;
esac
