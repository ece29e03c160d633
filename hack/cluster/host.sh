# shellcheck shell=bash disable=SC2034,SC2154 # cp.sh sources this, and sets R and the rest
# The host of level 3: a network namespace that leads nowhere, a mount namespace, and
# a cgroup in each hierarchy. All of the cluster is in there, the control plane too,
# and nothing else of the machine is changed.

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
	for name in runc:runc nft:nftables ip:iproute2 nsenter:util-linux unshare:util-linux; do
		package=${name#*:} name=${name%:*}
		command -v "$name" >/dev/null && continue
		echo "the program $name is missing"
		packages+=("$package")
	done
	if [ ${#packages[@]} -gt 0 ]; then
		echo "what mends it: apt-get update && apt-get install -y --no-install-recommends $(printf '%s\n' "${packages[@]}" | sort -u | xargs)"
		return
	fi
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
	local dir=/run name
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
	clear_cgroups # of a cluster that ended otherwise than by down
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
	[ "$(uname -s)" = Linux ] && [ -n "$(own_folders)" ] || return 0
	! grep -q "/$(own_cgroup)/" /proc/$$/cgroup || echo $$ >"$(dirname "$(tracked)")/cgroup.procs"
	while [ -n "$(own_folders)" ]; do
		[ $SECONDS -lt $deadline ] || { echo "cp.sh: there is still something in $(tracked)" >&2 && return 1; }
		# 0 stands for what is out of sight, and would be this script to kill.
		procs=$(find "$(tracked)" -name cgroup.procs -exec cat {} + 2>/dev/null | grep -vx 0 | tr '\n' ' ') || true
		# shellcheck disable=SC2086 # these are numbers
		[ -z "$procs" ] || kill -KILL $procs 2>/dev/null || true
		for dir in $(own_folders); do
			find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
		done
		sleep 0.05
	done
}

# own_folders prints those of our cgroup that there are, whoever made them: runc
# also uses a hierarchy of version 2 beside those of version 1.
own_folders() {
	local dir
	for dir in "$cgroups" "$cgroups"/*; do
		[ -L "$dir" ] || [ ! -d "$dir/$(own_cgroup)" ] || echo "$dir/$(own_cgroup)"
	done
}

# --- the host: a process that holds the namespaces ---

make_host() {
	make_cgroups || return 1
	mkdir -p "$R/host"
	start host unshare -m -n --propagation private "$BASH" "$here/cp.sh" hold
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

# stand_apart fails unless this process is in other namespaces than its parent. What
# comes after it takes /sys and /run away, and would take them from the machine.
stand_apart() {
	local kind own parents
	for kind in mnt net; do
		if ! own=$(readlink "/proc/$$/ns/$kind") || ! parents=$(readlink "/proc/$PPID/ns/$kind") || [ "$own" = "$parents" ]; then
			die "\"$command\" is not for people: it changes the namespaces that it is in"
		fi
	done
}

# hold is that process.
hold() {
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
