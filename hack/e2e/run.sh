#!/usr/bin/env bash
# Runs the end-to-end tests on a cluster that is made for them and goes again.
#
#   run.sh short|full [FLAG OF THE TEST]...
#
# Ends with 3 if no cluster could be had, so that nothing was tried.
#
# Needs root on Linux, and what `hack/cluster/cp.sh able` asks for; README.md says
# more. R is the cluster's folder; a cluster that runs there is used, and left as it
# is. FAIRLEAD_E2E_OUT is an empty folder where logs are kept when something fails. GO is the go
# command.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cluster=$root/hack/cluster
made=$root/dist/e2e
out=${FAIRLEAD_E2E_OUT:-$made/failed}
GO=${GO:-go}
mode=${1:?short or full}
shift

say() { printf 'e2e: %s\n' "$*"; }

"$cluster/cp.sh" able || {
	say "this machine cannot run a real cluster, for the reasons above: NOTHING was tried" >&2
	exit 3
}

# build compiles what is tested, and what tests it.
build() {
	say "building images of this revision, the recorder, the prober and the tests"
	"$cluster/build.sh" --level 3
	make --no-print-directory -C "$root" images IMAGE_TAGS=devel IMAGE_ARCHS="$("$GO" env GOARCH)" >"$made/images.log" 2>&1 || {
		cat "$made/images.log" >&2
		return 1
	}
	local program
	for program in recorder prober; do
		CGO_ENABLED=0 "$GO" build -C "$root" -buildvcs=false -trimpath -o "$made/$program" "./hack/e2e/$program"
	done
	"$GO" run -C "$root/hack/images" . tar --name registry.test/recorder:devel --program "$made/recorder" --out "$made/recorder.tar"
	"$GO" test -C "$root" -c -o "$made/e2e.test" ./hack/e2e
}

# previous packs the images of the version that an upgrade begins with, and keeps its
# chart. hack/e2e/previous names its revision.
previous() {
	local revision to=$made/previous
	revision=$(cat "$root/hack/e2e/previous")
	git -C "$root" cat-file -e "$revision^{commit}" 2>/dev/null || {
		say "revision $revision is not in this clone: upgrades are tried FROM THE SAME CODE under another tag" >&2
		revision=$(git -C "$root" rev-parse --short HEAD)
	}
	[ "$(cat "$to/revision" 2>/dev/null)" != "$revision" ] || return 0
	say "building images of the version before this one, $revision"
	rm -rf "$to"
	mkdir -p "$to"
	git -C "$root" archive "$revision" | tar -x -C "$to"
	make --no-print-directory -C "$to" images IMAGE_TAGS=previous IMAGE_ARCHS="$("$GO" env GOARCH)" VERSION="$revision" REVISION="$revision" \
		SOURCE_DATE_EPOCH="$(git -C "$root" log -1 --format=%ct "$revision")" >"$made/previous.log" 2>&1 || {
		cat "$made/previous.log" >&2
		return 1
	}
	echo "$revision" >"$to/revision"
}

if [ -n "${FAIRLEAD_E2E_OUT:-}" ] && [ -n "$(ls -A "$out" 2>/dev/null)" ]; then
	say "FAIRLEAD_E2E_OUT is $out, which is not empty; name a folder that is empty or not there" >&2
	exit 2
fi
mkdir -p "$made"
build
[ "$mode" = short ] || previous
[ -n "${FAIRLEAD_E2E_OUT:-}" ] || rm -rf "$out"
mkdir -p "$out"

if [ -z "${R:-}" ]; then
	R=$(mktemp -d)
	export R
	trap '"$cluster/cp.sh" down >/dev/null 2>&1 || say "the cluster in $R did not end by itself" >&2; rm -rf "$R"' EXIT
	say "starting a cluster"
	FAIRLEAD_CLUSTER_PARENT=$$ "$cluster/cp.sh" up --level 3 >"$made/cluster.log" 2>&1 || {
		cat "$made/cluster.log" >&2
		exit 3
	}
fi
"$cluster/cp.sh" import "$root"/dist/images/{receiver,operator,fairlead,moderator}.tar "$made/recorder.tar" >/dev/null
[ "$mode" = short ] || "$cluster/cp.sh" import "$made"/previous/dist/images/{receiver,operator}.tar >/dev/null

# A run that has not ended by then hangs.
limit=90m
[ "$mode" = full ] || limit=15m
say "running the $mode form"
"$cluster/cp.sh" exec env FAIRLEAD_E2E="$mode" FAIRLEAD_E2E_SOURCE="$root" FAIRLEAD_E2E_OUT="$out" FAIRLEAD_E2E_PROGRAMS="$made" \
	FAIRLEAD_E2E_PREVIOUS="$made/previous" \
	HELM_CACHE_HOME="$R/helm" HELM_CONFIG_HOME="$R/helm" HELM_DATA_HOME="$R/helm" \
	"$made/e2e.test" -test.v -test.timeout "$limit" "$@"
