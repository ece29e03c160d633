#!/usr/bin/env bash
# A Kubernetes cluster for tests and for trying.
#
#   cp.sh up [--level 1|2|3]  1: etcd and kube-apiserver. 2, the default: and
#                             kube-controller-manager, kube-scheduler, and kwok,
#                             which plays one node on which pods seem to run.
#                             3, for root on Linux: a node that runs them, out of
#                             the machine's sight, with DNS and NetworkPolicy
#   cp.sh status              what runs; ends with 1 if anything does not
#   cp.sh down                stop what `up` started, and remove its folder
#   cp.sh able                whether level 3 can be here; if not, what is missing
#
# Of a cluster of level 3:
#
#   cp.sh exec COMMAND...     run a command where the cluster's addresses are
#   cp.sh import TAR...       give the node images; pods then name them with
#                             imagePullPolicy Never
#   cp.sh client add NAME IP  make a host outside of the cluster that owns IP
#   cp.sh client exec NAME COMMAND... | cp.sh client del NAME
#   cp.sh apiserver stop|start, cp.sh netpol stop|start
#
# R is the folder of certificates, data, logs and kubeconfigs; each folder is a
# cluster of its own. hack/cluster/README.md lists the other variables.
# shellcheck disable=SC2034,SC2154 # what it sources sets and uses variables, too
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
R=${R:-${TMPDIR:-/tmp}/fairlead-cluster-$UID}
[ "${R#/}" != "$R" ] || R=$PWD/$R
mark=$R/.fairlead-cluster # says that the folder is ours to remove
pki=$R/pki
patience=${FAIRLEAD_CLUSTER_TIMEOUT:-120}
# Pods only seem to run. Their addresses are of a range for documentation, so that
# an operator that asks them how they are does not ask somebody's machine.
pods=198.51.100.0/24 services=10.96.0.0/16
block=$$ # of ports
inside=() # what runs a command where the node is

die() {
	echo "cp.sh: $*" >&2
	exit 1
}

# What a folder holds is believed and run, so it is not somebody else's.
if [ -L "$R" ] || { [ -e "$R" ] && [ ! -O "$R" ]; }; then
	die "\"$R\" is not a folder of yours; name another in R"
fi

for part in process control host node; do
	# shellcheck source=/dev/null
	. "$here/$part.sh"
done

# --- what the user asks for ---

level1() {
	start_etcd && start_apiserver &&
		await "kube-apiserver on port $api" kubectl get --raw /readyz
}

level2() {
	start_controller_manager && start_scheduler && start_kwok &&
		await "kube-controller-manager on port $kcm" healthy "$kcm" &&
		await "kube-scheduler on port $sched" healthy "$sched" &&
		await "the API server to take a node" kubectl apply -f "$here/node.yaml" &&
		await "the node to be Ready" kubectl wait --for=condition=Ready node/fake-0 --timeout=1s &&
		await "the service account of pods" kubectl get serviceaccount default
}

level3() {
	start_containerd && start_controller_manager && start_scheduler &&
		await "containerd" ctr version && import "$bin/pause.tar" "$bin/coredns.tar" &&
		start_kubelet && start_kube_proxy && start_netpol &&
		await "kube-controller-manager" healthy "$kcm" &&
		await "kube-scheduler" healthy "$sched" &&
		await "the API server to take cluster DNS" kubectl apply -f "$here/dns.yaml" &&
		await "the node" kubectl get node "$node" &&
		await "the node to be Ready" kubectl wait --for=condition=Ready "node/$node" --timeout=1s &&
		await "the service account of pods" kubectl get serviceaccount default &&
		await "cluster DNS" kubectl -n kube-system wait --for=condition=Available deployment/coredns --timeout=1s
}

bring_up() {
	inside=()
	choose_ports
	mkdir -p "$R/log" "$R/pid" || return 1
	watch_parent || return 1
	echo "making certificates"
	(cd "$here" && GOOS='' GOARCH='' CGO_ENABLED=0 "${GO:-go}" run ./pki \
		-dir "$R" -server "https://127.0.0.1:$api" ${node_flags[@]+"${node_flags[@]}"}) || return 1
	[ "$level" != 3 ] || make_host || return 1
	printf '%s=%q\n' level "$level" bin "$bin" etcd "$etcd" api "$api" >"$R/settings"
	level1 || return 1
	[ "$level" = 1 ] || "level$level"
}

# settle finds again what `up` settled.
settle() {
	[ -f "$R/settings" ] || die "no cluster in \"$R\""
	# shellcheck source=/dev/null
	. "$R/settings"
	[ "$level" = 3 ] || die "the cluster in \"$R\" is of level $level; this needs level 3"
	enter_host
}

apiserver() {
	settle
	stop kube-apiserver
	[ "$1" = stop ] || { start_apiserver && await "kube-apiserver" kubectl get --raw /readyz; }
}

netpol() {
	settle
	stop netpol
	"${inside[@]}" nft delete table ip netpol 2>/dev/null || true # if it is there
	[ "$1" = stop ] || start_netpol
}

# watch_parent leaves a process behind that takes the cluster down when the process
# FAIRLEAD_CLUSTER_PARENT has ended.
watch_parent() {
	local at
	[ -n "${FAIRLEAD_CLUSTER_PARENT:-}" ] || return 0
	at=$(started "$FAIRLEAD_CLUSTER_PARENT") || die "there is no process $FAIRLEAD_CLUSTER_PARENT to watch"
	start parent-watch env R="$R" "$BASH" "$here/cp.sh" watch "$FAIRLEAD_CLUSTER_PARENT" "$at"
}

# watch PID STARTED is that process. It remembers what to stop, because whoever
# removes the folder does not stop anything by it.
watch() {
	local now lines=
	while same "$1" "$2"; do
		now=$(pids)
		lines=${now:-$lines}
		sleep 1
	done
	end "$lines"
	down
}

# prepare makes the folder, over what is left of a cluster that has ended.
prepare() {
	local name
	if [ -f "$mark" ]; then
		for name in $(names); do
			! alive "$name" || die "a cluster is up in \"$R\"; see it by \`status\`, end it by \`down\`"
		done
		rm -rf "$R"
	fi
	mkdir -p "$R"
	if [ ! -O "$R" ] || [ -n "$(ls -A "$R")" ]; then
		die "\"$R\" is not an empty folder of yours; name another in R"
	fi
	chmod 700 "$R"
	echo "level $level" >"$mark"
}

need_binaries() {
	local name need=(etcd kube-apiserver kubectl)
	[ "$level" = 1 ] || need+=(kube-controller-manager kube-scheduler)
	case $level in
	2) need+=(kwok kwok-stages.yaml) ;;
	3) need+=("${node_programs[@]}") ;;
	esac
	bin=${KUBEBUILDER_ASSETS:-$("$here/build.sh" --print)}
	[ "$level" != 3 ] || [ -s "$bin/kubelet" ] || bin=$("$here/build.sh" --level 3 --print)
	for name in "${need[@]}"; do
		[ -s "$bin/$name" ] || die "there is no $name in \"$bin\"; run \`make cluster-binaries LEVEL=$level\`"
	done
}

up() {
	local try
	[ "$level" != 3 ] || level_of_node
	need_binaries
	umask 077
	prepare
	trap stop_all EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	for try in 1 2 3; do
		! bring_up || break
		stop_all
		# Somebody may have taken a port after it was found free.
		if [ "$try" = 3 ] || ! grep -qs "address already in use" "$R"/log/*.log; then
			die "the cluster did not come up; its logs stay in \"$R/log\" until the next up or down"
		fi
		echo "a port was taken meanwhile; starting anew with others"
		rm -rf "$R/etcd" "$R/log"
	done
	trap - EXIT
	echo "a cluster of level $level is up after $SECONDS s:"
	echo "  $(way_in)"
}

# way_in prints a line to paste.
way_in() {
	if [ "$(<"$mark")" = "level 3" ]; then
		echo "R=\"$R\" $here/cp.sh exec kubectl get nodes"
	else
		echo "export KUBECONFIG=\"$R/admin.kubeconfig\"${bin:+" PATH=\"$bin:\$PATH\""}"
	fi
}

status() {
	local name ended=0
	[ -f "$mark" ] || { echo "no cluster in $R" && return 1; }
	echo "$(cat "$mark") in $R, $(way_in)"
	for name in $(names); do
		if alive "$name"; then
			echo "  $name runs as process $(cut -d ' ' -f 1 "$R/pid/$name")"
		else
			echo "  $name has ended; see $R/log/$name.log" && ended=1
		fi
	done
	[ -n "$(names)" ] && return $ended
}

down() {
	rmdir "$R" 2>/dev/null || true # if it is empty
	[ -e "$R" ] || { clear_cgroups && echo "no cluster in $R" && return 0; }
	[ -f "$mark" ] || die "\"$R\" was not made by this script; it is left alone"
	stop_all
	rm -rf "$R"
	echo "the cluster in $R is gone"
}

usage="usage: cp.sh up [--level 1|2|3] | status | down | able | exec COMMAND... | import TAR... |
    client add NAME IP | client exec NAME COMMAND... | client del NAME | apiserver stop|start | netpol stop|start"
command=${1:-} level=2
[ $# -eq 0 ] || shift
case $command in
up)
	if [ "${1:-}" = --level ]; then
		level=${2:-}
		shift $#
	fi
	[[ $#$level =~ ^0[123]$ ]] || die "$usage"
	up
	;;
status | down | able) "$command" ;;
apiserver | netpol)
	[[ $#${1:-} =~ ^1(stop|start)$ ]] || die "$usage"
	"$command" "$1"
	;;
exec)
	[ $# -gt 0 ] || die "$usage"
	settle
	run_inside "$@"
	;;
import)
	[ $# -gt 0 ] || die "$usage"
	settle
	import "$@"
	;;
client)
	[ $# -gt 1 ] || die "$usage"
	settle
	client "$@"
	;;
watch) watch "$1" "$2" ;; # these are started by up and able, not for people
hold | probe)
	stand_apart
	"$command"
	;;
*) die "$usage" ;;
esac
