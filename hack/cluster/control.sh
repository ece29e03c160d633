# shellcheck shell=bash disable=SC2154 # cp.sh sources this, and sets R and the rest
# The programs of a control plane. At level 3 they run where the node is: what
# stands in the array `inside` goes before every command that must be there.

kubectl() {
	${inside[@]+"${inside[@]}"} "$bin/kubectl" --kubeconfig "$R/admin.kubeconfig" --cache-dir "$R/cache" --request-timeout=5s "$@"
}

# healthy PORT asks a program of ours, which proves itself by its certificate.
healthy() {
	kubectl --server="https://127.0.0.1:$1" get --raw /healthz
}

# choose_ports sets the ports that the caller did not. They lie below those that
# systems give to outgoing connections. Two of these scripts that run at once have
# different pids, and so look in different places first. At level 3 nobody else is
# there, and ports are those of every cluster.
choose_ports() {
	local base port
	if [ "$level" = 3 ]; then
		etcd=2379 peer=2380 api=6443 kcm=10257 sched=10259
		return
	fi
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
# that Service gets none below level 3. At level 1 nobody makes the service accounts
# that pods need, so pods do not need any.
start_apiserver() {
	local more at=(--bind-address=127.0.0.1 --advertise-address=127.0.0.1 --endpoint-reconciler-type=none)
	read -ra more <<<"${FAIRLEAD_APISERVER_FLAGS:-}"
	[ "$level" -gt 1 ] || more+=(--disable-admission-plugins=ServiceAccount)
	[ "$level" -lt 3 ] || at=(--bind-address=0.0.0.0 --advertise-address="$node_address" \
		--enable-admission-plugins=NodeRestriction --kubelet-preferred-address-types=InternalIP \
		--kubelet-certificate-authority="$pki/ca.crt" \
		--kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key")
	start kube-apiserver "$bin/kube-apiserver" --secure-port="$api" "${at[@]}" \
		--etcd-servers="https://127.0.0.1:$etcd" --etcd-cafile="$pki/ca.crt" \
		--etcd-certfile="$pki/apiserver.crt" --etcd-keyfile="$pki/apiserver.key" \
		--tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
		--client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC --allow-privileged \
		--service-cluster-ip-range="$services" --service-account-issuer=https://kubernetes.default.svc.cluster.local \
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
		--allocate-node-cidrs --cluster-cidr="$pods" --service-cluster-ip-range="$services" \
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

