# Removes all that an instance left, whether it ended well or not. Sourced by up.sh and down.sh.
# Safe to run again, and with nothing there.

# Processes in our containers: their root is an overlay of our containerd. They are not started by us
# but by the shims, which may be gone.
container_pids() {
  { grep -lsE "^[0-9]+ [0-9]+ [0-9:]+ / / .*upperdir=$RUN/containerd/" /proc/[0-9]*/mountinfo || true; } | cut -d/ -f3
}

# KILL at once: there is no state worth saving. Repeated, since a process may start another meanwhile;
# the kubelet goes first so that it starts nothing anew.
end_processes() {
  local pids
  ! pids=$(pid_of kubelet) || kill -9 "$pids"
  for _ in $(seq 50); do
    pids=$(owned_pids; container_pids)
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086
    kill -9 $pids 2>/dev/null || true
    sleep 0.1
  done
  die "these processes do not end: $pids"
}

unmount_all() {
  local m
  awk -v run="$RUN/" 'index($2, run) == 1 {print $2}' /proc/mounts | sort -r | while read -r m; do
    m=$(printf '%b' "$m") # spaces are written as \040
    umount "$m" 2>/dev/null || umount -l "$m" || true
  done
}

# What containerd and runc keep outside of their state folders, by container.
containerd_leftovers() {
  local bundle socket
  for bundle in "$RUN"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*/; do
    [ -d "$bundle" ] || continue
    socket=$(cat "$bundle/address" 2>/dev/null || true)
    rm -rf "/run/containerd/runc/k8s.io/$(basename "$bundle")" ${socket:+"${socket#unix://}"}
  done
  rmdir /run/containerd/runc/k8s.io /run/containerd/runc /run/containerd/s /run/containerd 2>/dev/null || true
}

# The kubelet's links to the logs of its pods.
log_links() {
  local link
  for link in /var/log/containers/*; do
    case $(readlink "$link") in "$RUN"/*) rm -f "$link" ;; esac
  done
  rmdir /var/log/containers /var/log/pods 2>/dev/null || true
}

# The state folder of another full instance that lives, if there is one.
other_node() {
  local other
  for other in $(other_owners); do
    [ "$(cat "$other/mode" 2>/dev/null)" != full ] || echo "$other"
  done
}

# Another kubelet or kube-proxy on this machine (a real cluster) keeps what is its own.
foreign() {
  local pid
  for pid in $({ grep -lsx "$1" /proc/[0-9]*/comm || true; } | cut -d/ -f3); do is_owned "$pid" || return 0; done
  return 1
}

cgroups() {
  local group
  for group in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

node_leftovers() {
  local table
  [ ! -e "$RUN/ip_forward" ] || sysctl -qw net.ipv4.ip_forward="$(cat "$RUN/ip_forward")"
  containerd_leftovers
  log_links
  rm -rf /var/lib/cni/results/stepmemo-* /var/lib/cni/cache/results/stepmemo-*
  if ! foreign kubelet; then
    cgroups
    rm -f /var/lib/cni/results/cni-loopback-* # containerd forgets them
    rm -f /var/lib/kubelet/device-plugins/{kubelet.sock,DEPRECATION} # not below --root-dir
    rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet /var/lib/cni/results /var/lib/cni 2>/dev/null || true
  fi
  for table in "ip stepmemo" $(foreign kube-proxy || echo ip:kube-proxy ip6:kube-proxy); do
    # shellcheck disable=SC2086
    nft delete table ${table/:/ } 2>/dev/null || true
  done
}

# The bridge and the forwarding switch are shared: they go with the last instance.
shared_leftovers() {
  lock bridge
  if [ -z "$(other_owners)" ]; then
    ip link del "$BRIDGE" 2>/dev/null || true
  fi
  unlock
}

remove_state() {
  [ -d "$RUN" ] || return 0
  [ -e "$RUN/.stepmemo" ] || die "$RUN holds something else than our state: not removed"
  ! awk -v run="$RUN/" 'index($2, run) == 1 {found = 1} END {exit !found}' /proc/mounts || die "still mounted below $RUN"
  rm -rf "$RUN"
}

clean_up() {
  end_processes
  unmount_all
  # There is one node at a time: while another instance has it, what we see is not ours.
  [ -n "$(other_node)" ] || node_leftovers
  shared_leftovers
  remove_state
}
