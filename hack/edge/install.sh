#!/usr/bin/env bash
# Sees to it that the proxies are there with which hack/edge tries the receiver:
# nginx with its stream module, and HAProxy, as Debian packages them. It prints the
# folder in which they lie, to be given to the tests as FAIRLEAD_EDGE_DIR.
#
# What the machine lacks is downloaded with apt and unpacked into a folder of the
# user's cache (FAIRLEAD_EDGE_CACHE): nothing is installed, and no service starts. If
# all is there, it does nothing. It ends with an error, and says on standard error
# what is missing, if the tests cannot all run here; that is no reason for a build
# to fail.
set -euo pipefail

packages=(nginx-light libnginx-mod-stream haproxy)
cache=${FAIRLEAD_EDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fairlead/edge}

missing() {
	echo "hack/edge: $*" >&2
	exit 1
}

# system prints the name of the distribution, its version and its architecture.
system() {
	# shellcheck source=/dev/null # it is the machine's
	. /etc/os-release
	echo "${ID:-unknown}-${VERSION_ID:-0}-$(dpkg --print-architecture)"
}

# installed prints which of the packages the machine has, with their versions: the
# module that is downloaded must be that of the nginx that is installed.
installed() {
	# shellcheck disable=SC2016 # the variables are dpkg's
	dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' "${packages[@]}" 2>/dev/null | grep ' ii' || true
}

# lacking prints the packages that are still needed, and those that they need.
lacking() {
	apt-get -s -qq --no-install-recommends install "${packages[@]}" 2>/dev/null | awk '$1 == "Inst" { print $2 }'
}

# fetch downloads the named packages and unpacks them into the folder $1.
fetch() {
	local to=$1 deb
	shift
	mkdir "$to/debs"
	(cd "$to/debs" && timeout 120 apt-get -qq -o Acquire::Retries=1 -o APT::Sandbox::User=root download "$@") >/dev/null 2>&1 || return 1
	for deb in "$to"/debs/*.deb; do
		dpkg -x "$deb" "$to" || return 1
	done
	rm -r "$to/debs"
}

# produce makes the folder $1. It gets its name when it is whole, so whoever finds it
# can use it.
produce() {
	local text names=() tmp=$1.$$
	text=$(lacking) || { timeout 120 apt-get -qq update >/dev/null 2>&1 && text=$(lacking); } ||
		missing "apt does not know all of ${packages[*]}"
	[ -z "$text" ] || mapfile -t names <<<"$text"
	mkdir -p "$tmp"
	if [ ${#names[@]} -gt 0 ]; then
		echo "hack/edge: downloading ${names[*]}" >&2
		fetch "$tmp" "${names[@]}" || {
			rm -rf "$tmp"
			missing "these packages could not be downloaded: ${names[*]}"
		}
	fi
	mv -T "$tmp" "$1" 2>/dev/null || rm -rf "$tmp" # another one was quicker
}

[ "$(uname -s)" = Linux ] || missing "network namespaces are of Linux, and this is $(uname -s)"
[ "$(id -u)" = 0 ] || missing "only root makes network namespaces here"
unshare -n true 2>/dev/null || missing "no network namespace can be made here, or the program unshare is missing"
command -v apt-get >/dev/null || missing "there is no apt: install nginx with its stream module, haproxy and iproute2"
command -v ip >/dev/null || packages+=(iproute2)

folder=$cache/$(system)-$(installed | cksum | cut -d ' ' -f 1)
[ -d "$folder" ] || produce "$folder"
echo "$folder"
