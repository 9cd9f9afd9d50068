# Container images without a registry: a folder becomes an image in our containerd. Sourced by up.sh,
# argo.sh and image.sh. Pods name them as they would any image; with IfNotPresent nothing is pulled.

ctr_() { ctr -a "$RUN/containerd/containerd.sock" -n k8s.io "$@"; }
has_image() { ctr_ images ls -q | grep -xF "$1" >/dev/null; }

# pack REFERENCE ROOT FILE [JSON [ARCHITECTURE]]: an image archive of the folder ROOT; JSON is its config: Entrypoint, Cmd, Env,
# User, Labels.
pack() {
  local w sum
  w=$(mktemp -d)
  # Sorted, root's, dated 0: the same content is always the same image.
  tar -C "$2" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$w/layer.tar" .
  sum=sha256:$(sha256sum "$w/layer.tar" | cut -d' ' -f1)
  jq -nc --arg sum "$sum" --arg architecture "${5:-amd64}" --argjson config "${4:-{\}}" '{$architecture, os: "linux", created: "1970-01-01T00:00:00Z",
    config: ({Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]} + $config),
    rootfs: {type: "layers", diff_ids: [$sum]}, history: [{created: "1970-01-01T00:00:00Z"}]}' >"$w/config.json"
  jq -nc --arg ref "$1" '[{Config: "config.json", RepoTags: [$ref], Layers: ["layer.tar"]}]' >"$w/manifest.json"
  tar -C "$w" -cf "$3" manifest.json config.json layer.tar
  rm -rf "$w"
}

# load REFERENCE ROOT [JSON]: packs ROOT into containerd.
load() {
  local file
  file=$(mktemp)
  pack "$1" "$2" "$file" "${3:-}"
  ctr_ images import "$file" >/dev/null
  rm -f "$file"
}

# skeleton ROOT: what a distroless base has.
skeleton() {
  mkdir -p "$1"/{bin,etc,tmp,root}
  chmod 1777 "$1/tmp"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$1/etc/passwd"
  printf 'root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n' >"$1/etc/group"
  printf 'hosts: files dns\n' >"$1/etc/nsswitch.conf"
}

# load_binary REFERENCE NAME [JSON]: a static binary from the cache as /bin/<its name without version>.
load_binary() {
  local root
  ! has_image "$1" || return 0
  root=$(mktemp -d)
  chmod 755 "$root"
  skeleton "$root"
  install -m 755 "$(artifact "$2")" "$root/bin/${2%-[0-9]*}"
  load "$1" "$root" "${3:-}"
  rm -rf "$root"
}

load_busybox() {
  local root applet
  root=$(mktemp -d)
  chmod 755 "$root"
  skeleton "$root"
  install -m 755 /bin/busybox "$root/bin/busybox"
  load docker.io/library/pause:local "$root" '{"Entrypoint": ["/bin/busybox", "sleep", "infinity"]}'
  for applet in $(/bin/busybox --list); do ln -sf busybox "$root/bin/$applet"; done
  install -m 755 /bin/busybox "$root/bin/busybox"
  load docker.io/library/busybox:local "$root" '{"Cmd": ["/bin/sh"]}'
  # The same under the public name that examples/ use, since nothing can be pulled here.
  ctr_ images tag docker.io/library/busybox:local docker.io/library/busybox:1.37 >/dev/null 2>&1 || true
  rm -rf "$root"
}

# What every pod needs, and what the tests' steps run in.
base_images() {
  load_busybox
  load_binary docker.io/library/gofakes3:local gofakes3 '{"Entrypoint": ["/bin/gofakes3"], "User": "65532"}'
}

argo_images() { # VERSION
  load_binary "quay.io/argoproj/argoexec:v$1" "argoexec-$1" '{"Entrypoint": ["argoexec"]}'
  load_binary "quay.io/argoproj/workflow-controller:v$1" "workflow-controller-$1" '{"Entrypoint": ["workflow-controller"], "User": "8737"}'
}
