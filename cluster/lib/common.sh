# Sourced by every script of this folder: the settings, and the functions that they share.
set -euo pipefail

CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${STEPMEMO_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/stepmemo} # built once, kept
RUN=$(realpath -m "${STEPMEMO_RUN:-/tmp/stepmemo}")                        # an instance: all that its down.sh removes
PORT_OFFSET=${STEPMEMO_PORT_OFFSET:-0}                                     # added to every port

BRIDGE=stepmemo0
BRIDGE_IP=10.88.0.1 # the host's own address on the bridge: what pods call the API server and DNS by
POD_CIDR=10.88.0.0/16
SERVICE_CIDR=10.96.0.0/16
NODE_NAME=node1
export KUBECONFIG=$RUN/kubeconfig

say() { printf '[%s] %s\n' "$(basename "$0" .sh)" "$*"; }
die() {
  printf '[%s] error: %s\n' "$(basename "$0" .sh)" "$*" >&2
  exit 1
}
# port BASE: the port of this instance.
port() { echo $(($1 + PORT_OFFSET)); }
kubectl() { "$RUN/bin/kubectl" "$@"; }
# usage: prints the comment at the head of the calling script.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }
need_root() { [ "$(id -u)" = 0 ] || die "the cluster needs root (namespaces, mounts, a bridge)"; }

# lock NAME: waits for the machine-wide lock of that name and holds it until the script ends.
lock() {
  local fd
  mkdir -p /run/lock
  exec {fd}>"/run/lock/stepmemo-$1.lock"
  flock -n "$fd" || {
    say "waiting for another run that holds the lock $1"
    flock "$fd"
  }
  LOCK_FD=$fd
}
unlock() { exec {LOCK_FD}>&-; }
instance_lock() { lock "$(printf %s "$RUN" | sha256sum | cut -c1-12)"; }

# --- processes -------------------------------------------------------------------------------
# Every process that we start, and what those start (the shims of containerd among them), carries
# STEPMEMO_OWNER=<state folder> in its environment. That, not a number in a file that may since
# have gone to another process, is what makes it ours to end.

owned_pids() { # [OWNER]
  { grep -lzxF "STEPMEMO_OWNER=${1:-$RUN}" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3
}
is_owned() { grep -qzxF "STEPMEMO_OWNER=$RUN" "/proc/$1/environ" 2>/dev/null; }
# The state folders of other instances that have a living process.
other_owners() {
  { grep -hzasE '^STEPMEMO_OWNER=' /proc/[0-9]*/environ || true; } | tr '\0' '\n' | sort -u |
    sed 's/^STEPMEMO_OWNER=//' | { grep -vxF "$RUN" || true; }
}

pid_of() { # NAME: the pid of a process of ours that lives; fails when there is none
  local pid
  pid=$(cat "$RUN/pids/$1" 2>/dev/null) && [ -n "$pid" ] && is_owned "$pid" && echo "$pid"
}
running() { pid_of "$1" >/dev/null; }
# is_full: whether a cluster with a node is up, not an API server alone.
is_full() { [ "$(cat "$RUN/mode" 2>/dev/null)" = full ] && running containerd; }

# start NAME COMMAND...: in the background, pid in pids/NAME, output in log/NAME.log.
start() {
  local name=$1
  shift
  (
    # Nothing of the caller's (locks, a jobserver's or a test runner's pipes) lives on in a daemon.
    for fd in /proc/"$BASHPID"/fd/*; do
      fd=${fd##*/}
      [ "$fd" -le 2 ] || eval "exec $fd>&-"
    done
    STEPMEMO_OWNER=$RUN exec setsid "$@" >>"$RUN/log/$name.log" 2>&1 </dev/null
  ) &
  echo $! >"$RUN/pids/$name"
}

# stop NAME: TERM, and KILL when that does not help within 3 s.
stop() {
  local pid
  pid=$(pid_of "$1") || {
    rm -f "$RUN/pids/$1"
    return 0
  }
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 30); do
    is_owned "$pid" || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$RUN/pids/$1"
}

# wait_for SECONDS NAME COMMAND...: until COMMAND succeeds; fails at once when the process NAME has
# ended ('-': no process to watch), and shows why.
wait_for() {
  local end=$((SECONDS + $1)) name=$2 err
  shift 2
  until err=$("$@" 2>&1); do
    if [ "$name" != - ] && ! running "$name"; then
      tail -n 15 "$RUN/log/$name.log" >&2 || true
      die "$name ended; its log: $RUN/log/$name.log"
    fi
    [ $SECONDS -lt $end ] || die "gave up waiting for: $* ($err)"
    sleep 0.2
  done
}

# apt_install PACKAGE...: those that are missing; no service starts by itself.
apt_install() {
  local p want=() policy=/usr/sbin/policy-rc.d made='' failed=''
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -F 'install ok installed' >/dev/null || want+=("$p")
  done
  [ ${#want[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "missing Debian packages, and no apt-get: ${want[*]}"
  say "installing Debian packages: ${want[*]}"
  mkdir -p "$CACHE/log"
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    made=1
  fi
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${want[@]}"; } \
    >"$CACHE/log/apt.log" 2>&1 || failed=1
  [ -z "$made" ] || rm -f $policy
  [ -z "$failed" ] || {
    tail -n 5 "$CACHE/log/apt.log" >&2
    die "cannot install ${want[*]}; see $CACHE/log/apt.log"
  }
}

# --- what build.sh makes -----------------------------------------------------------------------

MODULES=$CLUSTER_DIR/modules
# pinned MODULE PATH: the version that MODULE's go.mod requires of PATH, without the v.
pinned() { awk -v p="$2" '{sub(/^require /, "")} $1 == p && $2 ~ /^v/ {print substr($2, 2); exit}' "$MODULES/$1/go.mod"; }
NODE_VERSION=24.21.0
# The API server may be of another version than the rest (K8S=1.37.2): what admission does depends on it alone.
API_SERVER=kube-apiserver${K8S:+-$K8S}
KUBERNETES=("$API_SERVER" kubectl kube-controller-manager kube-scheduler kubelet kube-proxy)
[ -z "${K8S:-}" ] || [ -e "$MODULES/kubernetes-$K8S/go.mod" ] ||
  die "Kubernetes '$K8S' is not pinned here; one of: $(cd "$MODULES" && printf '%s ' kubernetes-* | sed 's/kubernetes-//g')"
ARGO_VERSIONS=$(cd "$MODULES" && printf '%s ' argo-* | sed 's/argo-//g')

# module_of NAME: the folder under modules/ that the binary NAME is built from.
module_of() {
  case $1 in
    etcd | coredns | manifest-oracle) echo "$1" ;;
    look-ahead-oracle-*) echo look-ahead-oracle ;;
    gofakes3) echo s3 ;;
    workflow-controller-* | argoexec-* | argo-manifests-*) echo "argo-${1##*-}" ;;
    kube-apiserver-*) echo "kubernetes-${1##*-}" ;;
    *) echo kubernetes ;;
  esac
}
# artifact NAME: where it lies in the cache. The name holds a digest of what pins it, so that a
# changed go.mod, go.sum or source never finds an older build.
artifact() {
  local module
  module=$(module_of "$1")
  echo "$CACHE/bin/$1-$(cat "$MODULES/$module"/* | sha256sum | cut -c1-10)"
}
