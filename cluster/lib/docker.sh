# A Docker daemon for the time of a build, and the bases that are built on. Sourced by image.sh and test-image.sh, after
# images.sh.

DAEMON=/tmp/stepmemo-dockerd # state of our daemon; there is one at a time

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

# with_own_daemon: one that runs until the script ends, however it ends.
with_own_daemon() {
  need_root
  trap remove_daemon EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  start_daemon
}

# --- bases -------------------------------------------------------------------------------------

# make_base REFERENCE NODE FILE [TINI]: a base for this machine's architecture.
make_base() {
  local root lib
  root=$(base_root "$2")
  # Those that ldd shows, and those that name look-ups load at run time.
  for lib in $(ldd "$2" | grep -oE '/[^ ]+') "$(dirname "$(ldd "$2" | grep -oE '/[^ ]+/libc\.so\.6')")"/libnss_{dns,files}.so.2; do
    [ ! -e "$lib" ] || install -D -m 755 "$lib" "$root$lib"
  done
  [ -z "${4:-}" ] || install -D -m 755 "$4" "$root/usr/bin/tini-static"
  pack_base "$1" "$root" "$3" amd64
}

# base_root NODE: a folder with Node.js where distroless has it, CA certificates, accounts.
base_root() {
  local root
  root=$(mktemp -d)
  chmod 755 "$root"
  skeleton "$root"
  mkdir -p "$root/home/nonroot"
  install -D -m 755 "$1" "$root/nodejs/bin/node"
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  echo "$root"
}

pack_base() { # REFERENCE ROOT FILE ARCHITECTURE
  pack "$1" "$2" "$3" '{"User": "65532", "Env": ["PATH=/nodejs/bin:/usr/bin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]}' "$4"
  rm -rf "$2"
}
