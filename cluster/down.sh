#!/usr/bin/env bash
# Ends and removes an instance: its processes, pods, mounts, network and state. What was built stays
# in the cache. Works after any crash, and on nothing at all.
# Environment: STEPMEMO_RUN (state, /tmp/stepmemo).
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$CLUSTER_DIR/lib/cleanup.sh"
[ $# = 0 ] || {
  usage
  exit 2
}
need_root
instance_lock
clean_up
say "down; nothing is left of $RUN (built binaries stay in $CACHE)"
