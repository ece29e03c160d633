#!/usr/bin/env bash
# Vets and tests every module in $MODULES. The race detector needs cgo and a C
# compiler; without one the same tests run without it, and this says so. The tests
# of the main module want a Kubernetes control plane, which is built if it is not
# there, and nginx and HAProxy, which are downloaded if they can be.
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
# The race detector has every program sleep for a second before it ends; the tests
# end hundreds of them.
export GORACE=${GORACE:-atexit_sleep_ms=20}

for m in ${MODULES:?names the modules; make test sets it}; do
	if [ "$m" = . ]; then
		echo "== the control plane for tests"
		hack/cluster/build.sh
		KUBEBUILDER_ASSETS=$(hack/cluster/build.sh --print)
		export KUBEBUILDER_ASSETS
		echo "== the proxies for tests"
		if FAIRLEAD_EDGE_DIR=$(hack/edge/install.sh); then
			export FAIRLEAD_EDGE_DIR FAIRLEAD_EDGE=${FAIRLEAD_EDGE:-require}
		else
			unset FAIRLEAD_EDGE_DIR
			echo "NOTE: not all can be tried behind real proxies; hack/edge/README.md says what is needed."
		fi
	fi
	echo "== $m: go vet"
	(cd "$m" && $GO vet ./...)
	echo "== $m: go test ${race[*]-}"
	again=()
	# Its tests read files of the main module, of whose changes Go does not know here.
	[ "$m" != hack/gitops ] || again=(-count=1)
	(cd "$m" && $GO test ${race[@]+"${race[@]}"} ${again[@]+"${again[@]}"} -timeout 20m ./...)
done
