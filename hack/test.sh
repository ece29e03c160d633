#!/usr/bin/env bash
# Vets and tests every module in $MODULES. The race detector needs cgo and a C
# compiler; without one the same tests run without it, and this says so.
set -euo pipefail
cd "$(dirname "$0")/.."

GO=${GO:-go}
race=(-race)
export CGO_ENABLED=1
# runtime/cgo is the part of the race detector's build that needs the compiler.
if ! $GO build -race runtime/cgo 2>/dev/null; then
	race=()
	export CGO_ENABLED=0
	echo "NOTE: no working C compiler ($($GO env CC)): the tests run WITHOUT the race detector."
fi

for m in ${MODULES:-. hack/bench}; do
	echo "== $m: go vet"
	(cd "$m" && $GO vet ./...)
	echo "== $m: go test ${race[*]-}"
	(cd "$m" && $GO test ${race[@]+"${race[@]}"} -timeout 10m ./...)
done
