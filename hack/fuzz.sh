#!/usr/bin/env bash
# Runs every fuzz target of every module for $FUZZTIME, one after the other, and
# stops at the first that finds something.
set -euo pipefail
cd "$(dirname "$0")/.."

GO=${GO:-go}
FUZZTIME=${FUZZTIME:-20s}

# targets prints "package target" for each fuzz target below the current folder.
# go test -list prints the names first and then the package they are in.
targets() {
	$GO test -list '^Fuzz' ./... | awk '
		/^Fuzz/ { names[n++] = $1 }
		/^ok/   { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }'
}

for m in ${MODULES:?names the modules; make fuzz sets it}; do
	cd "$m"
	list=$(targets)
	total=$(grep -c . <<<"$list" || true)
	echo "== $m: $total fuzz targets, $FUZZTIME each"
	i=0
	while read -r pkg name; do
		[ -n "$pkg" ] || continue
		i=$((i + 1))
		echo "-- $i/$total $name in $pkg"
		$GO test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" "$pkg" </dev/null
	done <<<"$list"
	cd - >/dev/null
done
