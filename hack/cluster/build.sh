#!/usr/bin/env bash
# Builds the programs of a Kubernetes control plane from Go modules into a cached
# folder, and does nothing if they are there. Needs bash and Go, nothing else.
#
#   build.sh [--level 1|2]   build what the level needs (2, which includes 1)
#   build.sh --print         print the folder, and build nothing
#
# FAIRLEAD_CLUSTER_DIR is where the folder is made: if unset, the user's cache.
# GO is the go command. Several of these may run at once.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")"

GO=${GO:-go}

die() {
	echo "build.sh: $*" >&2
	exit 1
}

# key prints a short hash of all that decides what is built.
key() {
	local sum=(sha256sum)
	command -v sha256sum >/dev/null || sum=(shasum -a 256)
	cat {k8s,kwok}/go.{mod,sum} build.sh | "${sum[@]}" | cut -c 1-12
}

# stamp prints the linker flags that tell a Kubernetes program its version, which
# it would otherwise take from the repository that it was built in.
stamp() {
	local package v=${version#v}
	local minor=${v#*.}
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		printf " -X $package.%s" "gitVersion=$version" "gitMajor=${v%%.*}" "gitMinor=${minor%%.*}" \
			gitTreeState=clean gitCommit=module buildDate=1970-01-01T00:00:00Z
	done
}

# watch waits for the process $child, and says every 30 s that it still runs.
watch() {
	local said=$SECONDS status=0
	while kill -0 "$child" 2>/dev/null; do
		sleep 0.2
		[ $((SECONDS - said)) -ge 30 ] || continue
		said=$SECONDS
		echo "  still building $1, $SECONDS s"
	done
	wait "$child" || status=$?
	child=
	return "$status"
}

# compile NAME MODULE PACKAGE [LDFLAGS] builds $tmp for the machine that this is,
# whatever GOOS says, without a need for any C library.
compile() {
	GOOS=$os GOARCH=$arch CGO_ENABLED=0 GOWORK=off nice "$GO" build -C "$2" \
		-buildvcs=false -trimpath -ldflags "-s -w${4:-}" -o "$tmp" "$3" &
	child=$!
	watch "$1" || die "building $1 ended with an error"
}

# stages writes to $tmp what kwok does with nodes and pods; it has nothing built in.
stages() {
	local module
	module=$(cd kwok && GOWORK=off "$GO" list -m -f '{{.Dir}}' sigs.k8s.io/kwok)
	"$folder/kubectl" kustomize "$module/kustomize/stage/fast" >"$tmp"
}

# produce makes one file of the folder. The file gets its name when it is whole, so
# whoever finds it can use it.
produce() {
	tmp=$folder/.$1.$$
	case $1 in
	etcd) compile "$1" k8s go.etcd.io/etcd/server/v3 ;;
	kwok) compile "$1" kwok sigs.k8s.io/kwok/cmd/kwok ;;
	kwok-stages.yaml) stages ;;
	*) compile "$1" k8s "k8s.io/kubernetes/cmd/$1" "$(stamp)" ;;
	esac
	mv "$tmp" "$folder/$1"
}

# produce_all makes those of the named files that are not there.
produce_all() {
	local name n=0
	for name in "$@"; do
		n=$((n + 1))
		[ ! -s "$folder/$name" ] || continue
		echo "[$n/$#] building $name, $SECONDS s"
		produce "$name"
	done
}

missing() {
	local name
	for name in "$@"; do
		[ -s "$folder/$name" ] || return 0
	done
	return 1
}

# lock lets one build go on at a time. Where there is no flock, two builds do the
# work twice, and neither harms the other.
lock() {
	command -v flock >/dev/null || return 0
	exec 9>"$folder/.lock"
	! flock -n 9 || return 0
	echo "waiting for another build of $folder"
	flock 9
}

level=2 print=
while [ $# -gt 0 ]; do
	case $1 in
	--print) print=yes ;;
	--level) level=${2:-} && shift ;;
	-h | --help) sed -n 's/^# \{0,1\}//p' build.sh | sed -n '/^Builds/,/^GO is/p' && exit ;;
	*) die "unknown argument \"$1\"; see --help" ;;
	esac
	shift || true
done
files=(etcd kube-apiserver kubectl)
case $level in
1) ;;
2) files+=(kube-controller-manager kube-scheduler kwok kwok-stages.yaml) ;;
*) die "there is no level \"$level\": 1 or 2" ;;
esac

version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' k8s/go.mod)
os=$("$GO" env GOHOSTOS) arch=$("$GO" env GOHOSTARCH)
base=${FAIRLEAD_CLUSTER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/fairlead/cluster}
[ "${base#/}" != "$base" ] || base=$here/$base
folder=$base/$version-$(key)-$os-$arch
if [ -n "$print" ]; then
	echo "$folder"
	exit
fi
missing "${files[@]}" || exit 0

child='' tmp=''
trap '[ -z "$child" ] || kill "$child" 2>/dev/null || true; [ -z "$tmp" ] || rm -f "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$folder"
lock
missing "${files[@]}" || exit 0 # another build made them
echo "building a Kubernetes $version control plane into $folder; the first time takes many minutes"
produce_all "${files[@]}"
echo "built in $SECONDS s: $folder"
