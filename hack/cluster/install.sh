#!/usr/bin/env bash
# Installs the Debian packages that level 3 needs and this machine lacks, and does
# nothing if there are none. It needs root and apt, and says on standard error why it
# did not work; `cp.sh able` then says what is still missing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

refuse() {
	echo "hack/cluster: $*" >&2
	exit 1
}

mend=$("$here/cp.sh" able | sed -n 's/^what mends it: .*--no-install-recommends //p' || true)
[ -n "$mend" ] || exit 0
[ "$(id -u)" = 0 ] || refuse "packages are installed by root: $mend"
command -v apt-get >/dev/null || refuse "there is no apt to install them with: $mend"
read -ra packages <<<"$mend"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
try() { timeout 180 apt-get -qq -o Acquire::Retries=1 -o DPkg::Lock::Timeout=60 "$@" >"$log" 2>&1; }
try install -y --no-install-recommends "${packages[@]}" ||
	{ try update && try install -y --no-install-recommends "${packages[@]}"; } || {
	tail -n 5 "$log" >&2
	refuse "apt did not install $mend"
}
echo "installed $mend"
