# SPDX-License-Identifier: BSD-3-Clause
# Sourced by ./demo and ./test: what a fresh Debian 12 machine lacks. Every step looks first and does nothing when
# nothing is missing.

PACKAGES_BUILD="gcc meson ninja-build pkg-config libdpdk-dev libhyperscan-dev libjemalloc-dev libyaml-dev libjansson-dev
	libedit-dev libcmocka-dev libbenchmark-dev g++"
PACKAGES_LAB="python3 iproute2 iputils-ping ethtool nginx-light curl procps"
PACKAGES_TEST="clang llvm libclang-rt-14-dev wrk iperf3 nftables jq lua5.4 dpdk-dev
	python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-tools
	postfix swaks openssl libnet-ssleay-perl tshark"
PACKAGES_BENCH="squid c-icap haproxy nginx-light wrk dpdk-dev"
HUGEPAGES_WANTED=512
HUGEPAGES_FREE_NEEDED=400

say() { printf '== %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

need_root() {
	[ "$(id -u)" = 0 ] || die "must run as root (network namespaces, hugepages): sudo $0"
}

# Installing a server package must not start that server on this machine.
with_no_services() {
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=1
	fi
	local rc=0
	"$@" || rc=$?
	[ -z "$made" ] || rm -f "$policy"
	return $rc
}

# install_packages NAME...: those that are not installed.
install_packages() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq || die "apt-get update failed: is the package archive reachable?"
	with_no_services apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$LOGS/packages.log" 2>&1 ||
		die "installing packages failed, see $LOGS/packages.log: $(tail -n 1 "$LOGS/packages.log")"
}

# 2 MiB hugepages, and a mount of them. Pages that are there are left alone.
setup_hugepages() {
	local dir=/sys/kernel/mm/hugepages/hugepages-2048kB free total
	[ -d "$dir" ] || die "this kernel has no 2 MiB hugepages ($dir is missing)"
	grep -q ' hugetlbfs ' /proc/mounts || { mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages; } ||
		die "cannot mount hugetlbfs on /dev/hugepages"
	free=$(cat $dir/free_hugepages) total=$(cat $dir/nr_hugepages)
	if [ "$free" -lt $HUGEPAGES_FREE_NEEDED ]; then
		say "hugepages: $((total - free + HUGEPAGES_WANTED)) of 2 MiB"
		echo $((total - free + HUGEPAGES_WANTED)) >$dir/nr_hugepages
		if [ "$(cat $dir/free_hugepages)" -lt $HUGEPAGES_FREE_NEEDED ]; then
			echo 3 >/proc/sys/vm/drop_caches
			echo 1 >/proc/sys/vm/compact_memory
			echo $((total - free + HUGEPAGES_WANTED)) >$dir/nr_hugepages
		fi
	fi
	[ "$(cat $dir/free_hugepages)" -ge $HUGEPAGES_FREE_NEEDED ] ||
		die "only $(cat $dir/free_hugepages) free hugepages, $HUGEPAGES_FREE_NEEDED are needed: free some memory (1 GiB) and try again"
}

# build DIR [MESON-OPTION...]
build() {
	local dir=$1
	shift
	if [ ! -f "$dir/build.ninja" ]; then
		meson setup "$dir" "$ROOT" "$@" >"$LOGS/${dir##*/}-setup.log" 2>&1 ||
			die "meson setup failed, see $LOGS/${dir##*/}-setup.log: $(tail -n 1 "$LOGS/${dir##*/}-setup.log")"
	fi
	say "building ${dir##*/}"
	ninja -C "$dir" >"$LOGS/${dir##*/}-ninja.log" 2>&1 || {
		grep -E -m 20 'error|FAILED' "$LOGS/${dir##*/}-ninja.log" >&2
		die "the build failed, see $LOGS/${dir##*/}-ninja.log"
	}
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOGS=${OPES_LOGS:-$ROOT/build/logs}
mkdir -p "$LOGS"
