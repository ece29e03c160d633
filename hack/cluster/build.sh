#!/usr/bin/env bash
# Builds the programs of a Kubernetes cluster from Go modules into cached folders,
# and does nothing if they are there. Needs bash and Go, nothing else.
#
#   build.sh [--level 1|2|3]           build what the level and those below it need
#   build.sh [--level 1|2|3] --print   print the folder, and build nothing
#
# Without --level it is 2. Level 3 has a folder of its own, in which all programs of
# the lower levels are, too.
#
# FAIRLEAD_CLUSTER_DIR is where folders are made: if unset, the user's cache.
# GO is the go command. Several of these may run at once.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")"

GO=${GO:-go}

die() {
	echo "build.sh: $*" >&2
	exit 1
}

# table lists what there is to build: at which level it is needed, the part that is
# built and kept together, its name, and the module and package it comes from.
table() {
	cat <<-'END'
		1 control etcd k8s go.etcd.io/etcd/server/v3
		1 control kube-apiserver k8s k8s.io/kubernetes/cmd/kube-apiserver
		1 control kubectl k8s k8s.io/kubernetes/cmd/kubectl
		2 control kube-controller-manager k8s k8s.io/kubernetes/cmd/kube-controller-manager
		2 control kube-scheduler k8s k8s.io/kubernetes/cmd/kube-scheduler
		2 control kwok kwok sigs.k8s.io/kwok/cmd/kwok
		2 control kwok-stages.yaml kwok -
		3 node kubelet k8s k8s.io/kubernetes/cmd/kubelet
		3 node kube-proxy k8s k8s.io/kubernetes/cmd/kube-proxy
		3 containerd containerd containerd github.com/containerd/containerd/v2/cmd/containerd
		3 containerd containerd-shim-runc-v2 containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
		3 containerd ctr containerd github.com/containerd/containerd/v2/cmd/ctr
		3 cni host-local cni github.com/containernetworking/plugins/plugins/ipam/host-local
		3 cni loopback cni github.com/containernetworking/plugins/plugins/main/loopback
		3 cni portmap cni github.com/containernetworking/plugins/plugins/meta/portmap
		3 cni ptp cni github.com/containernetworking/plugins/plugins/main/ptp
		3 coredns coredns coredns github.com/coredns/coredns
		3 helm helm ../chart/helm helm.sh/helm/v4/cmd/helm
		3 own netpol ../.. ./hack/cluster/netpol
		3 own pause ../.. ./hack/cluster/pause
		3 own pause.tar - registry.test/pause:1
		3 own coredns.tar - registry.test/coredns:1
	END
}

# rows PART [LEVEL] prints the lines of the table for a part.
rows() {
	table | awk -v part="$1" -v level="${2:-3}" '$2 == part && $1 <= level'
}

# sources PART prints the files that decide, besides the table, what is in a part.
sources() {
	case $1 in
	control) echo {k8s,kwok}/go.{mod,sum} ;;
	node) echo k8s/go.{mod,sum} ;;
	helm) echo ../chart/helm/go.{mod,sum} ;;
	own)
		printf '%s\n' {netpol,pause,../images}/*.go | grep -v '_test\.go$'
		echo ../images/go.{mod,sum} ../../go.{mod,sum} coredns/go.{mod,sum}
		;;
	*) echo "$1"/go.{mod,sum} ;;
	esac
}

sum() {
	local sum=(sha256sum)
	command -v sha256sum >/dev/null || sum=(shasum -a 256)
	"${sum[@]}" | cut -c 1-12
}

# How programs are compiled; some are told their version besides.
options=(-buildvcs=false -trimpath)
flags="-s -w"

# part_folder PART prints where a part is kept. Its name has a short hash of all that
# decides what is built, so a change of one part leaves the others as they are.
part_folder() {
	local key
	# shellcheck disable=SC2046 # the names of our files have no spaces
	key=$({ rows "$1" && echo "${options[*]} $flags" && stamp "$version" && cat $(sources "$1"); } | sum)
	case $1 in
	control) echo "$base/$version-$key-$os-$arch" ;;
	*) echo "$base/$1-$key-$os-$arch" ;;
	esac
}

# stamp VERSION prints the linker flags that tell a Kubernetes program its version,
# which it would otherwise take from the repository that it was built in.
stamp() {
	local package v=${1#v}
	local minor=${v#*.}
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		printf " -X $package.%s" "gitVersion=$1" "gitMajor=${v%%.*}" "gitMinor=${minor%%.*}" \
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
		"${options[@]}" -ldflags "$flags${4:-}" -o "$tmp" "$3" &
	child=$!
	watch "$1" || die "building $1 ended with an error"
}

# stages writes to $tmp what kwok does with nodes and pods; it has nothing built in.
stages() {
	local module
	module=$(cd kwok && GOWORK=off "$GO" list -m -f '{{.Dir}}' sigs.k8s.io/kwok)
	"$folder/kubectl" kustomize "$module/kustomize/stage/fast" >"$tmp"
}

# image NAME REFERENCE packs the program of that name as an image for tests.
image() {
	GOOS='' GOARCH='' CGO_ENABLED=0 GOWORK=off "$GO" run -C ../images . tar \
		--name "$2" --program "$(find_program "$1")" --out "$tmp"
}

find_program() {
	echo "$(part_folder "$(table | awk -v name="$1" '$3 == name { print $2 }')")/$1"
}

# produce NAME MODULE PACKAGE makes one file of the folder. The file gets its name
# when it is whole, so whoever finds it can use it.
produce() {
	tmp=$folder/.$1.$$
	case $1 in
	kwok-stages.yaml) stages ;;
	*.tar) image "${1%.tar}" "$3" ;;
	kube*) compile "$@" "$(stamp "$version")" ;;
	containerd | ctr) compile "$@" " -X github.com/containerd/containerd/v2/version.Version=$(module_version containerd "${3%/cmd/*}")" ;;
	*) compile "$@" ;;
	esac
	mv "$tmp" "$folder/$1"
}

# module_version FOLDER MODULE prints the version that a go.mod pins.
module_version() {
	awk -v module="$2" '$1 == module { print $2; exit }' "$1/go.mod"
}

# missing PART prints the rows of files that are not there.
missing() {
	local row name
	rows "$1" "$level" | while read -r row; do
		read -r _ _ name _ <<<"$row"
		[ -s "$folder/$name" ] || echo "$row"
	done
}

# build_part PART makes what is missing of a part, one build at a time.
build_part() {
	local name module package n=0 all
	folder=$(part_folder "$1")
	[ -n "$(missing "$1")" ] || return 0
	mkdir -p "$folder"
	lock
	all=$(missing "$1") # another build may have made them
	[ -z "$all" ] || echo "building $1 into $folder, $SECONDS s; the first time takes minutes"
	while read -r _ _ name module package; do
		[ -n "$name" ] || continue
		n=$((n + 1))
		echo "[$n/$(wc -l <<<"$all" | tr -d ' ')] building $name, $SECONDS s"
		produce "$name" "$module" "$package" </dev/null
		built=yes
	done <<<"$all"
	exec 9>&-
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

# whole_folder prints where level 3 finds everything.
whole_folder() {
	local part
	echo "$base/level3-$(for part in "${parts[@]}"; do part_folder "$part"; done | sum)-$os-$arch"
}

# result prints where the level finds what it needs.
result() {
	if [ "$level" = 3 ]; then whole_folder; else part_folder control; fi
}

# gather makes the folder of level 3: links to what the parts have. cni is a folder
# in it, because containerd wants its plugins to be among themselves.
gather() {
	local whole part name
	whole=$(whole_folder)
	[ ! -e "$whole/kubelet" ] || return 0
	tmp=$base/.level3.$$
	mkdir -p "$tmp"
	for part in "${parts[@]}"; do
		[ "$part" != cni ] || { ln -sfn "$(part_folder cni)" "$tmp/cni" && continue; }
		while read -r _ _ name _; do
			ln -sf "$(part_folder "$part")/$name" "$tmp/$name"
		done < <(rows "$part")
	done
	mv -T "$tmp" "$whole" 2>/dev/null || rm -rf "$tmp" # another build was first
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
parts=(control)
case $level in
1 | 2) ;;
3) parts+=(node containerd cni coredns helm own) ;;
*) die "there is no level \"$level\": 1, 2 or 3" ;;
esac

version=$(module_version k8s k8s.io/kubernetes)
os=$("$GO" env GOHOSTOS) arch=$("$GO" env GOHOSTARCH)
[ "$level" != 3 ] || [ "$os" = linux ] || die "level 3 needs Linux; this is $os"
base=${FAIRLEAD_CLUSTER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/fairlead/cluster}
[ "${base#/}" != "$base" ] || base=$here/$base
if [ -n "$print" ]; then
	result
	exit
fi

folder='' child='' tmp='' built=''
trap '[ -z "$child" ] || kill "$child" 2>/dev/null || true; [ -z "$tmp" ] || rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for part in "${parts[@]}"; do
	build_part "$part"
done
[ "$level" != 3 ] || gather
[ -z "$built" ] || echo "built in $SECONDS s: $(result)"
