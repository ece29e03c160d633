# shellcheck shell=bash disable=SC2154 # cp.sh sources this, and sets R and the rest
# The processes of a cluster: for each a file in $R/pid with its pid and when it
# started, and its log in $R/log.

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

# stop NAME ends one process.
stop() {
	[ -f "$R/pid/$1" ] || return 0
	end "$(cat "$R/pid/$1")"
	rm -f "$R/pid/$1"
}

# start NAME COMMAND... leaves a process behind, `inside`, in a group of its own, so that
# neither the end of this script nor Ctrl-C reaches it.
start() {
	local name=$1 pid
	shift
	set -m
	nohup ${inside[@]+"${inside[@]}"} "$@" >"$R/log/$name.log" 2>&1 </dev/null &
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
	clear_cgroups
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
