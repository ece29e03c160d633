# shellcheck shell=bash disable=SC2034,SC2154 # cp.sh sources this, and sets R and the rest
# Level 3: a node on which pods run. All of it, the control plane too, lives in a
# network namespace that leads nowhere and in a mount namespace, so that nothing of
# the machine is changed but one cgroup in each hierarchy, which goes with it.

node=node1 node_address=10.240.0.10
node_programs=(kubelet kube-proxy containerd containerd-shim-runc-v2 ctr cni/ptp netpol pause.tar coredns.tar)
node_flags=()
cgroups=/sys/fs/cgroup

# level_of_node sets what is different at this level.
level_of_node() {
	local missing
	missing=$(lacking) || true
	[ -z "$missing" ] || die "level 3 cannot be here:"$'\n'"$missing"
	case $R/ in
	/run/* | /var/run/* | /var/lib/* | /var/log/* | /sys/* | /proc/* | /dev/*) die "R is \"$R\", which a node hides; name a folder elsewhere" ;;
	esac
	pods=10.244.0.0/16
	node_flags=(-node "$node" -node-address "$node_address")
}

# --- whether it can be ---

# lacking prints what is missing, one a line, and what mends it.
lacking() {
	local name package packages=()
	[ "$(uname -s)" = Linux ] || { echo "Linux is missing: this is $(uname -s)" && return; }
	[ "$(id -u)" = 0 ] || { echo "root is missing: run this as root" && return; }
	for name in runc:runc nft:nftables iptables:iptables ip:iproute2 nsenter:util-linux unshare:util-linux; do
		package=${name#*:} name=${name%:*}
		command -v "$name" >/dev/null && continue
		echo "the program $name is missing: apt-get install -y --no-install-recommends $package"
		packages+=("$package")
	done
	[ ${#packages[@]} -eq 0 ] || return 0
	unshare -m -n --propagation private "$BASH" "$here/cp.sh" probe 2>/dev/null ||
		echo "namespaces are missing: this root may not make them (CAP_SYS_ADMIN)"
}

able() {
	local missing
	missing=$(lacking)
	[ -n "$missing" ] || { echo "level 3 can be here" && return 0; }
	echo "$missing"
	return 1
}

# probe tries, in namespaces that go with it, all that is asked of the kernel.
probe() {
	local dir name
	dir=/tmp
	mount -t tmpfs tmpfs "$dir" && mkdir "$dir"/{lower,upper,work,merged}
	mount -t overlay -o "lowerdir=$dir/lower,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/merged" ||
		echo "overlayfs is missing from the kernel"
	ip link add veth0 type veth peer name veth1 || echo "veth pairs are missing from the kernel"
	{ echo 1 >/proc/sys/net/ipv4/ip_forward; } || echo "sysctls of the network cannot be written"
	nft -f - <<-'END' || echo "nftables with nat, fib, ct and maps is missing from the kernel"
		table ip probe {
			map m { type ipv4_addr . inet_proto . inet_service : verdict; }
			chain masq { type nat hook postrouting priority srcnat; meta mark 1 masquerade; }
			chain pre { type nat hook prerouting priority dstnat; fib daddr type local ip daddr . meta l4proto . th dport vmap @m; }
			chain forward { type filter hook forward priority filter; ct state established,related accept; reject; }
		}
	END
	for name in $(controllers); do
		case " $(available) " in
		*" $name "*) ;;
		*) echo "the cgroup controller $name is missing" ;;
		esac
	done
	probe_cgroups || echo "cgroups cannot be made below $cgroups"
}

probe_cgroups() {
	local dir
	for dir in $(hierarchies); do
		mkdir "$dir/fairlead-probe-$$" && rmdir "$dir/fairlead-probe-$$" || return 1
	done
}

# --- cgroups: version 2 if that is what is mounted, or else version 1 ---

version2() {
	[ -e "$cgroups/cgroup.controllers" ]
}

controllers() {
	if version2; then echo cpu cpuset memory pids; else echo cpu cpuacct cpuset memory devices freezer pids; fi
}

available() {
	local name
	if version2; then
		echo "$(<"$cgroups/cgroup.controllers")"
	else
		for name in $(controllers); do [ ! -d "$cgroups/$name" ] || echo "$name"; done | xargs
	fi
}

# hierarchies prints the root of each.
hierarchies() {
	local dir
	if version2; then
		echo "$cgroups"
		return
	fi
	for dir in "$cgroups"/*/; do
		[ -L "${dir%/}" ] || [ -e "$dir/cgroup.controllers" ] || echo "${dir%/}"
	done
}

# own_cgroup prints the name of the one that all of this cluster is in.
own_cgroup() {
	echo "fairlead-$(realpath -m "$R" | sha256sum | cut -c 1-12)"
}

# tracked prints the folder, of all that there are of our cgroup, in which every
# process can be found.
tracked() {
	if version2; then echo "$cgroups/$(own_cgroup)"; else echo "$cgroups/pids/$(own_cgroup)"; fi
}

# make_cgroups makes them: for pods, which the kubelet fills, and for processes that
# are none of its own, which would otherwise be hard to find in the end.
make_cgroups() {
	local dir name
	name=$(own_cgroup)
	for dir in $(hierarchies); do
		mkdir -p "$dir/$name" || return 1
		[ ! -e "$dir/$name/cpuset.cpus" ] || version2 || {
			cat "$dir/cpuset.cpus" >"$dir/$name/cpuset.cpus"
			cat "$dir/cpuset.mems" >"$dir/$name/cpuset.mems"
			echo 1 >"$dir/$name/cgroup.clone_children"
		}
	done
	mkdir -p "$(tracked)/others"
	! version2 || sed 's/[^ ]*/+&/g' "$cgroups/$name/cgroup.controllers" >"$cgroups/$name/cgroup.subtree_control"
}

# join puts this process, and those that it starts, among the others.
join() {
	echo $BASHPID >"$(tracked)/others/cgroup.procs"
}

# clear_cgroups ends whatever is in ours, and removes them.
clear_cgroups() {
	local dir procs deadline=$((SECONDS + patience))
	[ "$(uname -s)" = Linux ] && [ -d "$(tracked)" ] || return 0
	! grep -q "/$(own_cgroup)/" /proc/$$/cgroup || echo $$ >"$(dirname "$(tracked)")/cgroup.procs"
	while [ -n "$(own_folders)" ]; do
		[ $SECONDS -lt $deadline ] || { echo "cp.sh: there is still something in $(tracked)" >&2 && return 1; }
		procs=$(find "$(tracked)" -name cgroup.procs -exec cat {} + 2>/dev/null | xargs) || true
		# shellcheck disable=SC2086 # these are numbers
		[ -z "$procs" ] || kill -KILL $procs 2>/dev/null || true
		for dir in $(own_folders); do
			find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
		done
		sleep 0.05
	done
}

# own_folders prints those of our cgroup that there are.
own_folders() {
	local dir
	for dir in $(hierarchies); do
		[ ! -d "$dir/$(own_cgroup)" ] || echo "$dir/$(own_cgroup)"
	done
}

# --- the host: a process that holds the namespaces ---

make_host() {
	make_cgroups || return 1
	mkdir -p "$R/host"
	start host unshare -m -n --propagation private "$BASH" "$here/cp.sh" hold \
		"$(readlink /proc/self/ns/mnt)" "$(readlink /proc/self/ns/net)"
	await "the namespaces" test -e "$R/host/ready" || return 1
	enter_host
}

# enter_host has `inside` lead into the namespaces.
enter_host() {
	local pid
	alive host || die "the cluster in \"$R\" is down"
	read -r pid _ <"$R/pid/host"
	inside=(nsenter -t "$pid" -m -n --)
	export PATH="$bin:$PATH"
}

# hold MOUNTS NETWORK is that process. It is given the namespaces of the machine, to
# be sure that it is in others.
hold() {
	[ "$(readlink /proc/self/ns/mnt)" != "$1" ] && [ "$(readlink /proc/self/ns/net)" != "$2" ] ||
		die "these are the machine's own namespaces"
	umask 022
	arrange_mounts
	arrange_network
	touch "$R/host/ready"
	exec -a "holding $R" sleep infinity
}

# arrange_mounts hides what programs of a node write to: /run, /var/lib, /var/log,
# and those sysctls of the kernel that the kubelet wants to set. /sys is made anew
# because it shows a network namespace.
arrange_mounts() {
	local dir stage=$R/host/cgroup
	mkdir -p "$stage" "$R/host/log"
	mount --rbind "$cgroups" "$stage"
	umount -R -l /sys
	mount -t sysfs sysfs /sys
	mount --move "$stage" "$cgroups"
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/{netns,lock,lib/upper,lib/work}
	mount -t overlay -o lowerdir=/var/lib,upperdir=/run/lib/upper,workdir=/run/lib/work overlay /var/lib
	mount --bind "$R/host/log" /var/log
	for dir in kernel vm; do
		mount --bind "/proc/sys/$dir" "/proc/sys/$dir"
		mount -o remount,bind,ro "/proc/sys/$dir"
	done
	pretend vm/overcommit_memory 1
	pretend vm/panic_on_oom 0
	pretend kernel/panic 10
	pretend kernel/panic_on_oops 1
	pretend kernel/keys/root_maxkeys 1000000
	pretend kernel/keys/root_maxbytes 25000000
	mount --make-rshared / # so that the kubelet can pass mounts on to pods
}

# pretend SYSCTL VALUE shows the kubelet the value that it insists on.
pretend() {
	local file=$R/host/${1//\//.}
	[ -e "/proc/sys/$1" ] || return 0
	echo "$2" >"$file"
	mount --bind "$file" "/proc/sys/$1"
}

# arrange_network gives the node its address, and a default route, which programs
# ask for, to nowhere.
arrange_network() {
	ip link set lo up
	ip link add node0 type veth peer name nowhere0
	ip link set nowhere0 up
	ip address add "$node_address/24" dev node0
	ip link set node0 up
	ip route add default dev node0
	echo 1 >/proc/sys/net/ipv4/ip_forward
	echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
	echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter
}

# --- the programs of a node ---

ctr() {
	"${inside[@]}" "$bin/ctr" -n k8s.io "$@"
}

# import TAR... unpacks images. Paths are the caller's.
import() {
	local tar
	for tar in "$@"; do
		ctr images import "$(realpath "$tar")" >"$R/log/import.log" 2>&1 || complain import "importing \"$tar\" ended with an error" || return 1
	done
}

# A process without CAP_SYS_RESOURCE cannot have a lower OOM score than its parent,
# and runc would end over it; hence restrict_oom_score_adj.
start_containerd() {
	mkdir -p "$R/containerd" "$R/cni"
	cat >"$R/cni/10-pods.conflist" <<-END
		{"cniVersion": "1.0.0", "name": "pods", "plugins": [
		  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "$R/cni/addresses",
		    "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	END
	cat >"$R/containerd/config.toml" <<-END
		version = 3
		root = "$R/containerd/root"
		disabled_plugins = ["io.containerd.nri.v1.nri"]
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$R/containerd/opt"
		[plugins."io.containerd.cri.v1.images".pinned_images]
		  sandbox = "registry.test/pause:1"
		[plugins."io.containerd.cri.v1.runtime"]
		  restrict_oom_score_adj = true
		[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
		  runtime_type = "io.containerd.runc.v2"
		  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
		    BinaryName = "$(command -v runc)"
		    SystemdCgroup = false
		[plugins."io.containerd.cri.v1.runtime".cni]
		  bin_dirs = ["$bin/cni"]
		  conf_dir = "$R/cni"
	END
	(umask 022 && join && start containerd "$bin/containerd" -c "$R/containerd/config.toml")
}

# The kubelet does not evict pods for lack of disk: it cannot tell how much there is.
start_kubelet() {
	cat >"$R/kubelet.yaml" <<-END
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		failCgroupV1: false
		cgroupDriver: cgroupfs
		cgroupRoot: /$(own_cgroup)
		featureGates: {KubeletInUserNamespace: true}
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		address: $node_address
		authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$pki/ca.crt"}}
		authorization: {mode: Webhook}
		tlsCertFile: "$pki/kubelet.crt"
		tlsPrivateKeyFile: "$pki/kubelet.key"
		clusterDomain: cluster.local
		clusterDNS: [10.96.0.10]
		resolvConf: ""
		podCIDR: 10.244.0.0/24
		failSwapOn: false
		localStorageCapacityIsolation: false
		imageGCHighThresholdPercent: 100
		evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
		syncFrequency: 10s
		nodeStatusUpdateFrequency: 5s
	END
	(umask 022 && start kubelet "$bin/kubelet" --config="$R/kubelet.yaml" --kubeconfig="$R/kubelet.kubeconfig" \
		--hostname-override=$node --node-ip=$node_address --root-dir="$R/kubelet" --cert-dir="$R/kubelet/pki" --v=2)
}

# kube-proxy leaves the table of connections at the machine's size.
start_kube_proxy() {
	cat >"$R/kube-proxy.yaml" <<-END
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		clientConnection: {kubeconfig: "$R/kube-proxy.kubeconfig"}
		mode: ${FAIRLEAD_PROXY_MODE:-nftables}
		clusterCIDR: $pods
		hostnameOverride: $node
		bindAddress: $node_address
		conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
	END
	start kube-proxy "$bin/kube-proxy" --config="$R/kube-proxy.yaml" --v=2
}

start_netpol() {
	start netpol "$bin/netpol" -kubeconfig "$R/netpol.kubeconfig"
}

# --- what the user asks for ---

# run_inside COMMAND... becomes the command, in the folder where it was called.
run_inside() {
	join
	exec "${inside[@]}" env -C "$PWD" KUBECONFIG="$R/admin.kubeconfig" R="$R" "$@"
}

client() {
	local command=$1 name=$2
	[[ $name =~ ^[a-z0-9]{1,12}$ ]] || die "a client's name is up to 12 small letters and digits, not \"$name\""
	shift 2
	case $command-$# in
	add-1) add_client "$name" "$1" ;;
	del-0) "${inside[@]}" ip netns del "$name" ;;
	exec-0 | add-* | del-*) die "$usage" ;;
	exec-*) run_inside ip netns exec "$name" "$@" ;;
	*) die "$usage" ;;
	esac
}

# add_client makes a network namespace that owns an address, and that reaches the
# node, and nothing else, by a pair of devices.
add_client() {
	local gateway=169.254.7.1 ip=("${inside[@]}" ip)
	"${ip[@]}" netns add "$1"
	"${ip[@]}" link add "c-$1" type veth peer name eth0 netns "$1"
	"${ip[@]}" link set "c-$1" up
	"${ip[@]}" address add $gateway/32 dev "c-$1"
	"${ip[@]}" route add "$2/32" dev "c-$1"
	"${ip[@]}" -n "$1" link set lo up
	"${ip[@]}" -n "$1" address add "$2/32" dev eth0
	"${ip[@]}" -n "$1" link set eth0 up
	"${ip[@]}" -n "$1" route add $gateway dev eth0
	"${ip[@]}" -n "$1" route add default via $gateway dev eth0 src "$2"
}
