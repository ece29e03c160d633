#!/usr/bin/env bash
# Packs the images of the last commit twice, in clones at two places, and fails
# unless all that comes out is the same to the bit. `make images-check` runs it.
#
#   check.sh           both builds use the build cache that there is
#   FRESH=1 check.sh   the second compiles everything anew, which takes many minutes
#
# GO is the go command; IMAGE_ARCHS limits what is built ("amd64").
set -euo pipefail
cd "$(dirname "$0")/../.."
exec </dev/null

GO=${GO:-go}
unset MAKEFLAGS MAKELEVEL VERSION REVISION SOURCE_DATE_EPOCH
case ${1:-} in
'') ;;
-h | --help) sed -n 's/^# \{0,1\}//p' hack/images/check.sh && exit ;;
*) echo "check.sh: unknown argument \"$1\"; see --help" >&2 && exit 1 ;;
esac

tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp" && rm -rf "$tmp"' EXIT
[ -z "$(git status --porcelain)" ] ||
	echo "NOTE: there are changes that are not committed; they are NOT in what is checked."

commit=$(git rev-parse HEAD) # both builds are of this one, whoever commits meanwhile

# build CLONE clones the last commit to $tmp/CLONE and packs it there.
build() {
	local start=$SECONDS
	echo "== packing $(git describe --tags --always "$commit") in $1"
	git clone -q . "$tmp/$1"
	git -C "$tmp/$1" checkout -q --detach "$commit"
	make --no-print-directory -C "$tmp/$1" images GO="$GO" ${IMAGE_ARCHS:+IMAGE_ARCHS="$IMAGE_ARCHS"}
	echo "took $((SECONDS - start)) s"
}

# sums prints the digest of every file that was packed in the clone.
sums() {
	(cd "$tmp/$1/dist/images" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# version PROGRAM fails unless the program for this machine says its version.
version() {
	local program want got
	program=$tmp/first/dist/bin/linux-$("$GO" env GOHOSTARCH)/$1
	[ "$("$GO" env GOHOSTOS)" = linux ] && [ -x "$program" ] || return 0
	want=$(git describe --tags --always "$commit") got=$("$program" --version)
	[ "$got" = "$want" ] || { echo "check.sh: $1 says that it is version \"$got\", not \"$want\"" >&2 && exit 1; }
}

build first
(
	umask 077
	export TZ=Asia/Kolkata LC_ALL=C
	[ -z "${FRESH:-}" ] || export GOCACHE=$tmp/cache
	build a/deeper/place
)
version receiver
version operator
if ! diff <(sums first) <(sums a/deeper/place); then
	echo "check.sh: these files differ between two builds of one commit" >&2
	exit 1
fi
echo "== the same to the bit: $(sums first | wc -l) files"
cat "$tmp/first/dist/images/digests.txt"
