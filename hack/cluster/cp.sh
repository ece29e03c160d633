#!/usr/bin/env bash
# A Kubernetes control plane on the loopback address, for tests and for trying.
#
#   cp.sh up [--level 1|2]   1: etcd and kube-apiserver. 2, the default: and
#                            kube-controller-manager, kube-scheduler, and kwok,
#                            which plays one node on which pods seem to run
#   cp.sh status             what runs; ends with 1 if anything does not
#   cp.sh down               stop what `up` started, and remove its folder
#
# R is the folder of certificates, data, logs and kubeconfigs; each folder is a
# cluster of its own. hack/cluster/README.md lists the other variables.
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

die() {
	echo "cp.sh: $*" >&2
	exit 1
}

# --- processes: a file of $R/pid for each, with its pid and when it started ---

# started prints when a process started, so that it is not taken for another that
# got its pid later. It fails if the process has ended: if it is a zombie, and none
# of its threads is still about to end.
started() {
	local line fields
	if [ -d /proc/self ]; then
		{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
		read -ra fields <<<"${line##*) }" # what follows the name, which may hold anything
		[ "${fields[0]}" != Z ] || [ "${fields[17]}" -gt 1 ] || return 1
		echo "${fields[19]}"
	else
		line=$(ps -o stat= -o lstart= -p "$1") || return 1
		[ "${line#Z}" = "$line" ] && echo "${line#* }"
	fi
}

# same PID STARTED is true while that process runs.
same() {
	local now
	[ -n "${2:-}" ] && now=$(started "$1") && [ "$now" = "$2" ]
}

# alive NAME is true while the process runs that was started under that name.
alive() {
	local pid at
	[ -f "$R/pid/$1" ] && read -r pid at <"$R/pid/$1" && same "$pid" "$at"
}

# names lists what was started.
names() {
	local f
	for f in "$R"/pid/*; do
		[ ! -f "$f" ] || echo "${f##*/}"
	done
}

# start NAME COMMAND... leaves a process behind, in a group of its own, so that
# neither the end of this script nor Ctrl-C reaches it.
start() {
	local name=$1 pid
	shift
	set -m
	nohup "$@" >"$R/log/$name.log" 2>&1 </dev/null &
	pid=$!
	set +m
	disown "$pid" 2>/dev/null || true # or bash reports its end
	echo "$pid $(started "$pid")" >"$R/pid/$name"
}

# pids prints the lines of all files.
pids() {
	cat "$R"/pid/* 2>/dev/null || true
}

# end LINES ends processes at once, all but this one, and waits until they are gone.
# They get no time to tidy up, for their data goes too.
end() {
	local pid at
	while read -r pid at; do
		[ "$pid" = $$ ] || ! same "$pid" "$at" || kill -KILL -- "-$pid" 2>/dev/null || true
	done <<<"$1"
	while read -r pid at; do
		while [ "$pid" != $$ ] && same "$pid" "$at"; do sleep 0.05; done
	done <<<"$1"
}

stop_all() {
	end "$(pids)"
	rm -f "$R"/pid/*
}

# --- waiting ---

# await WHAT COMMAND... repeats the command until it succeeds. It gives up, and
# shows a log, when a process has ended or the time is over.
await() {
	local what=$1 name deadline=$((SECONDS + patience))
	shift
	echo "waiting for $what"
	until "$@" >"$R/log/await.log" 2>&1; do
		for name in $(names); do
			alive "$name" || complain "$name" "$name has ended" || return 1
		done
		[ $SECONDS -lt $deadline ] || complain await "no $what in $patience s" || return 1
		sleep 0.1
	done
}

# complain LOG MESSAGE... shows the end of a log, and fails.
complain() {
	echo "cp.sh: $2; the end of $R/log/$1.log:" >&2
	tail -n 20 "$R/log/$1.log" | cut -c 1-400 | sed 's/^/  /' >&2
	return 1
}

kubectl() {
	"$bin/kubectl" --kubeconfig "$R/admin.kubeconfig" --cache-dir "$R/cache" --request-timeout=5s "$@"
}

# healthy PORT asks a program of ours, which proves itself by its certificate.
healthy() {
	kubectl --server="https://127.0.0.1:$1" get --raw /healthz
}

# --- the programs ---

# choose_ports sets the ports that the caller did not. They lie below those that
# systems give to outgoing connections. Two of these scripts that run at once have
# different pids, and so look in different places first.
choose_ports() {
	local base port
	while :; do
		block=$((block + 397))
		base=$((20000 + block % 1250 * 8))
		for port in 0 1 2 3 4 5; do
			! (exec 3<>"/dev/tcp/127.0.0.1/$((base + port))") 2>/dev/null || continue 2
		done
		break
	done
	etcd=${FAIRLEAD_ETCD_PORT:-$base} peer=${FAIRLEAD_ETCD_PEER_PORT:-$((base + 1))}
	api=${FAIRLEAD_API_PORT:-$((base + 2))} kcm=${FAIRLEAD_KCM_PORT:-$((base + 3))}
	sched=${FAIRLEAD_SCHEDULER_PORT:-$((base + 4))} kwok=${FAIRLEAD_KWOK_PORT:-$((base + 5))}
}

start_etcd() {
	start etcd "$bin/etcd" --data-dir="$R/etcd" --unsafe-no-fsync --log-level=warn \
		--listen-client-urls="https://127.0.0.1:$etcd" --advertise-client-urls="https://127.0.0.1:$etcd" \
		--client-cert-auth --trusted-ca-file="$pki/ca.crt" --cert-file="$pki/etcd.crt" --key-file="$pki/etcd.key" \
		--listen-peer-urls="https://127.0.0.1:$peer" --initial-advertise-peer-urls="https://127.0.0.1:$peer" \
		--initial-cluster="default=https://127.0.0.1:$peer" --peer-client-cert-auth \
		--peer-trusted-ca-file="$pki/ca.crt" --peer-cert-file="$pki/etcd.crt" --peer-key-file="$pki/etcd.key"
}

# The API server refuses a loopback address as the endpoint of its own Service, so
# that Service gets none. At level 1 nobody makes the service accounts that pods
# need, so pods do not need any.
start_apiserver() {
	local more
	read -ra more <<<"${FAIRLEAD_APISERVER_FLAGS:-}"
	[ "$level" -gt 1 ] || more+=(--disable-admission-plugins=ServiceAccount)
	start kube-apiserver "$bin/kube-apiserver" --bind-address=127.0.0.1 --secure-port="$api" \
		--advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
		--etcd-servers="https://127.0.0.1:$etcd" --etcd-cafile="$pki/ca.crt" \
		--etcd-certfile="$pki/apiserver.crt" --etcd-keyfile="$pki/apiserver.key" \
		--tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
		--client-ca-file="$pki/ca.crt" --authorization-mode=RBAC --allow-privileged \
		--service-cluster-ip-range=$services --service-account-issuer=https://kubernetes.default.svc.cluster.local \
		--service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
		--requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy-client \
		--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
		--requestheader-extra-headers-prefix=X-Remote-Extra- \
		--proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
		${more[@]+"${more[@]}"}
}

# Nobody limits requests, which alone makes the start some seconds shorter. The
# autoscaler looks every second and waits for nothing, so a test of it is short. A
# busy machine does not make the node seem lost.
start_controller_manager() {
	local more
	read -ra more <<<"${FAIRLEAD_KCM_FLAGS:-}"
	start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig="$R/kcm.kubeconfig" \
		--bind-address=127.0.0.1 --secure-port="$kcm" --authentication-skip-lookup --leader-elect=false \
		--tls-cert-file="$pki/kcm.crt" --tls-private-key-file="$pki/kcm.key" \
		--use-service-account-credentials --root-ca-file="$pki/ca.crt" \
		--service-account-private-key-file="$pki/sa.key" \
		--cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
		--allocate-node-cidrs --cluster-cidr=$pods --service-cluster-ip-range=$services \
		--kube-api-qps=1000 --kube-api-burst=1000 --node-monitor-grace-period=5m \
		--horizontal-pod-autoscaler-sync-period=1s \
		--horizontal-pod-autoscaler-initial-readiness-delay=1s \
		--horizontal-pod-autoscaler-cpu-initialization-period=1s \
		--horizontal-pod-autoscaler-downscale-stabilization=1s \
		${more[@]+"${more[@]}"}
}

start_scheduler() {
	start kube-scheduler "$bin/kube-scheduler" --kubeconfig="$R/sched.kubeconfig" --leader-elect=false \
		--bind-address=127.0.0.1 --secure-port="$sched" --authentication-skip-lookup \
		--kube-api-qps=1000 --kube-api-burst=1000 \
		--tls-cert-file="$pki/sched.crt" --tls-private-key-file="$pki/sched.key"
}

start_kwok() {
	start kwok "$bin/kwok" --kubeconfig="$R/kwok.kubeconfig" --config="$bin/kwok-stages.yaml" \
		--manage-all-nodes --server-address="127.0.0.1:$kwok"
}

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

bring_up() {
	choose_ports
	mkdir -p "$R/log" "$R/pid" || return 1
	watch_parent || return 1
	echo "making certificates"
	(cd "$here" && GOOS='' GOARCH='' CGO_ENABLED=0 "${GO:-go}" run ./pki \
		-dir "$R" -server "https://127.0.0.1:$api") || return 1
	level1 || return 1
	[ "$level" = 1 ] || level2
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
	[ "$level" = 1 ] || need+=(kube-controller-manager kube-scheduler kwok kwok-stages.yaml)
	bin=${KUBEBUILDER_ASSETS:-$("$here/build.sh" --print)}
	for name in "${need[@]}"; do
		[ -s "$bin/$name" ] || die "there is no $name in \"$bin\"; run \`make cluster-binaries\`"
	done
}

up() {
	local try
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
	echo "a control plane of level $level is up after $SECONDS s:"
	echo "  export KUBECONFIG=\"$R/admin.kubeconfig\" PATH=\"$bin:\$PATH\""
}

status() {
	local name ended=0
	[ -f "$mark" ] || { echo "no cluster in $R" && return 1; }
	echo "$(cat "$mark") in $R, export KUBECONFIG=\"$R/admin.kubeconfig\""
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
	[ -e "$R" ] || { echo "no cluster in $R" && return 0; }
	[ -f "$mark" ] || die "\"$R\" was not made by this script; it is left alone"
	stop_all
	rm -rf "$R"
	echo "the cluster in $R is gone"
}

command=${1:-} level=2
[ $# -eq 0 ] || shift
case $command in
up)
	if [ "${1:-}" = --level ]; then
		level=${2:-}
		shift $#
	fi
	[[ $#$level =~ ^0[12]$ ]] || die "usage: cp.sh up [--level 1|2]"
	up
	;;
status | down) "$command" ;;
watch) watch "$1" "$2" ;; # started by up, not for people
*) die "usage: cp.sh up [--level 1|2] | status | down" ;;
esac
