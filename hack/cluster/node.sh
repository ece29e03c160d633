# shellcheck shell=bash disable=SC2034,SC2154 # cp.sh sources this, and sets R and the rest
# The node of level 3, on which pods run, and the hosts of its clients.

node=node1 node_address=10.240.0.10
node_programs=(kubelet kube-proxy containerd containerd-shim-runc-v2 ctr cni/ptp netpol pause.tar coredns.tar)
node_flags=()

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
		  {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": true}}]}
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
	exec "${inside[@]}" env -C "$PWD" KUBECONFIG="$R/admin.kubeconfig" KUBECACHEDIR="$R/cache" R="$R" "$@"
}

client() {
	local command=$1 name=$2
	[[ $name =~ ^[a-z0-9]{1,12}$ ]] || die "a client's name is up to 12 small letters and digits, not \"$name\""
	shift 2
	case $command-$# in
	add-1) add_client "$name" "$1" || { del_client "$name" && die "there is no client \"$name\" now"; } ;;
	del-0) del_client "$name" ;;
	exec-0 | add-* | del-*) die "$usage" ;;
	exec-*) run_inside ip netns exec "$name" "$@" ;;
	*) die "$usage" ;;
	esac
}

# add_client makes a network namespace that owns an address, and that reaches the
# node, and nothing else, by a pair of devices.
add_client() {
	local gateway=169.254.7.1 ip=("${inside[@]}" ip)
	"${ip[@]}" netns add "$1" &&
		"${ip[@]}" link add "c-$1" type veth peer name eth0 netns "$1" &&
		"${ip[@]}" link set "c-$1" up &&
		"${ip[@]}" address add $gateway/32 dev "c-$1" &&
		"${ip[@]}" route add "$2/32" dev "c-$1" &&
		"${ip[@]}" -n "$1" link set lo up &&
		"${ip[@]}" -n "$1" address add "$2/32" dev eth0 &&
		"${ip[@]}" -n "$1" link set eth0 up &&
		"${ip[@]}" -n "$1" route add $gateway dev eth0 &&
		"${ip[@]}" -n "$1" route add default via $gateway dev eth0 src "$2"
}

# del_client removes the devices first: with the namespace they would go later.
del_client() {
	"${inside[@]}" ip link del "c-$1" || true
	"${inside[@]}" ip netns del "$1"
}
