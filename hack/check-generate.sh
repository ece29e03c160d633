#!/usr/bin/env bash
# Fails if `make generate` changes a file. What is compared is the files before
# and after, not the commit, so it also serves somebody with work in progress.
set -euo pipefail
cd "$(dirname "$0")/.."

sums() {
	git ls-files -co --exclude-standard -- api config charts cmd/fairlead/survey | sort |
		while read -r f; do [ ! -f "$f" ] || git hash-object --no-filters "$f" | tr '\n' ' '; echo "$f"; done
}

before=$(sums)
make --no-print-directory generate
after=$(sums)
if [ "$before" != "$after" ]; then
	echo "make generate changed these files; commit them:" >&2
	diff <(echo "$before") <(echo "$after") | awk '/^[<>]/{print "  " $NF}' | sort -u >&2
	exit 1
fi
echo "generated files are up to date"
