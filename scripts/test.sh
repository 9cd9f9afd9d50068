#!/usr/bin/env bash
# Runs suites and closes with one line over all of their tests: 'N passed, N failed'.
#   scripts/test.sh SUITE…      of check, unit, integration, move-policy, e2e, oracle, matrix
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || { sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 2; }

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
failures=0

# A suite that cannot even start counts as one failed test: nothing that is broken may look green.
step() {
  local name=$1; shift
  echo "== $name: $*"
  "$@" || { echo "== $name failed"; failures=$((failures + 1)); }
}

# Files that go well with others first, side by side; then, on the same cluster, those that need it to themselves.
e2e() {
  local version=${1:-4.0.5}
  STEPMEMO_KEEP=1 ARGO=$version suite e2e "e2e-$version"
  ARGO=$version suite e2e-alone "e2e-alone-$version"
}

oracle() { # VERSION
  step "oracle-$1" make --no-print-directory look-ahead-oracle ARGO="$1" CASES=3000
}

suite() { # PROJECT [LABEL [FILE]]
  local project=$1 label=${2:-$1}
  step "$label" npm exec -- vitest run --config test/vitest.config.ts --project "$project" \
    --reporter default --reporter json --outputFile.json="$reports/$label.json" ${3:+"$3"}
}

make --no-print-directory build || { echo '0 passed, 1 failed'; exit 1; }
for name in "$@"; do
  case $name in
    check) step check make --no-print-directory check ;;
    unit | integration) suite "$name" ;;
    oracle) oracle 4.0.5 ;;
    e2e) e2e "${ARGO:-}" ;;
    move-policy) K8S=1.37.2 suite integration move-policy test/integration/move-policy.test.ts ;;
    matrix)
      for version in 1.30.14 '' 1.37.2; do K8S=$version suite integration "integration-${version:-default}"; done
      for version in 4.0.5 3.7.15 3.4.17; do e2e "$version"; oracle "$version"; done
      ;;
    *) echo "no such suite: $name"; exit 2 ;;
  esac
done
npm exec -- node scripts/count-tests.ts "$failures" "$reports"
