#!/usr/bin/env bash
# Builds stepmemo's image for the local cluster from dist/ (make build), keeps it in the cache as an archive, and hands it to
# the cluster when a full one is up. Nothing is pulled: the base and the daemon are made here too. (Elsewhere: make image.)
#   image.sh                 build (when something changed) and import
#   image.sh import          import the archive that was built before
# Environment: IMAGE (stepmemo:local); BASE (a base image to pull instead of the one made here);
#   DOCKER_HOST (a daemon to use; by default one is started for the build, and ended after it).
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$CLUSTER_DIR/lib/images.sh"

ROOT=$(cd "$CLUSTER_DIR/.." && pwd)
IMAGE=${IMAGE:-stepmemo:local}
LOCAL_BASE=stepmemo-base:local
ARCHIVE=$CACHE/images/$(printf %s "$IMAGE" | tr -c 'A-Za-z0-9.-' _).tar
DAEMON=/tmp/stepmemo-dockerd # state of our daemon; there is one at a time

# --- the context and the base ------------------------------------------------------------------

make_context() { # DIR
  [ -e "$ROOT/dist/stepmemo.mjs" ] && [ -e "$ROOT/dist/capture.mjs" ] || die "dist/ is not built: make build"
  apt_install tini
  mkdir -p "$1/dist"
  cp "$ROOT"/dist/*.mjs "$ROOT"/dist/*.txt "$1/dist/" # no source maps: they are larger than the rest
  cp -r "$ROOT/manifests" "$ROOT/Dockerfile" "$ROOT/.dockerignore" "$1/"
  install -m 755 /usr/bin/tini-static "$1/tini-static"
  chmod -R u=rwX,go=rX "$1"
}

# make_base FILE: Node.js where distroless has it, the libraries that it loads, CA certificates, accounts.
make_base() {
  local root lib node=$CACHE/bin/nodejs-$NODE_VERSION
  root=$(mktemp -d)
  chmod 755 "$root"
  skeleton "$root"
  mkdir -p "$root/home/nonroot"
  install -D -m 755 "$node" "$root/nodejs/bin/node"
  # Those that ldd shows, and those that name look-ups load at run time.
  for lib in $(ldd "$node" | grep -oE '/[^ ]+') "$(dirname "$(ldd "$node" | grep -oE '/[^ ]+/libc\.so\.6')")"/libnss_{dns,files}.so.2; do
    [ ! -e "$lib" ] || install -D -m 755 "$lib" "$root$lib"
  done
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  pack "$LOCAL_BASE" "$root" "$1" '{"User": "65532", "Env": ["PATH=/nodejs/bin:/usr/bin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]}'
  rm -rf "$root"
}

# digest DIR: of all that decides what the image is.
digest() {
  {
    echo "$IMAGE ${BASE:-$NODE_VERSION}"
    cat "${BASH_SOURCE[0]}" "$CLUSTER_DIR/lib/images.sh"
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
  } | sha256sum | cut -d' ' -f1
}

# --- the daemon --------------------------------------------------------------------------------

daemon_pids() { { grep -lzxF "STEPMEMO_DOCKERD=$DAEMON" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3; }

# Ends our daemon and its containerd, and removes what they mounted: also what a killed run left.
remove_daemon() {
  local signal=TERM pids m try
  for try in $(seq 100); do
    pids=$(daemon_pids)
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086
    kill -$signal $pids 2>/dev/null || true
    sleep 0.1
    [ "$try" -lt 50 ] || signal=KILL
  done
  awk -v d="$DAEMON/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r | while read -r m; do umount -l "$m" || true; done
  rm -rf "$DAEMON"
  rmdir /run/docker/plugins /run/docker 2>/dev/null || true
}

start_daemon() {
  local end=$((SECONDS + 30)) pid
  [ -x /usr/sbin/dockerd ] || [ -x /usr/bin/dockerd ] || apt_install docker.io
  remove_daemon
  mkdir -p "$DAEMON"
  # No network of its own: the build has none, and nothing of the host's firewall is touched.
  STEPMEMO_DOCKERD=$DAEMON setsid dockerd --bridge=none --iptables=false --ip6tables=false --data-root "$DAEMON/root" \
    --exec-root "$DAEMON/exec" --pidfile "$DAEMON/pid" -H "unix://$DAEMON/sock" >"$CACHE/log/dockerd.log" 2>&1 </dev/null &
  pid=$!
  export DOCKER_HOST=unix://$DAEMON/sock
  until docker version >/dev/null 2>&1; do
    if ! kill -0 $pid 2>/dev/null || [ $SECONDS -ge $end ]; then
      tail -n 5 "$CACHE/log/dockerd.log" >&2
      die "Docker's daemon does not start on this machine (log: $CACHE/log/dockerd.log); name one that runs with DOCKER_HOST, or build elsewhere"
    fi
    sleep 0.1
  done
}

# Debian's client, even where another one stands first on PATH.
docker() { if [ -x /usr/bin/docker ]; then /usr/bin/docker "$@"; else command docker "$@"; fi; }

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
  if [ -z "${DOCKER_HOST:-}" ]; then
    need_root
    trap remove_daemon EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    start_daemon
  fi
  if [ -z "${BASE:-}" ]; then
    "$CLUSTER_DIR/build.sh" nodejs
    make_base "$work/base.tar"
    docker load -q -i "$work/base.tar" >/dev/null
  fi
  say "building $IMAGE"
  # The classic builder: BuildKit's client is a package of its own in newer versions of Docker.
  DOCKER_BUILDKIT=0 docker build --network none --target local --build-arg "BASE=$base" \
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
  if [ "$(cat "$RUN/mode" 2>/dev/null)" != full ] || ! running containerd; then
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
