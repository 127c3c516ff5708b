/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_plane.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memzone.h>

#include "control_log.h"
#include "stats/shm.h"

#define ZONES_MAX 256

void control_plane_init(struct control_plane *p, const char *prefix, bool verbose)
{
	memset(p, 0, sizeof(*p));
	p->pidfd = -1;
	snprintf(p->prefix, sizeof(p->prefix), "%s", prefix);
	p->verbose = verbose;
	snprintf(p->why, sizeof(p->why), "not running");
}

/* Where DPDK keeps a primary's files; the same choice as EAL's own. */
static void runtime_path(const char *prefix, const char *file, char *buf, size_t len)
{
	const char *dir = getenv("RUNTIME_DIRECTORY");

	if (!dir && getuid() == 0)
		dir = "/var/run";
	if (!dir)
		dir = getenv("XDG_RUNTIME_DIR");
	snprintf(buf, len, "%s/dpdk/%s/%s", dir ? dir : "/tmp", prefix, file);
}

/* Process that holds the primary's lock on its config file, 0 = none. *ready: its EAL finished
 * starting. */
static pid_t primary_find(const char *prefix, bool *ready)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[4096];
	uint32_t magic = 0;
	pid_t pid = 0;
	int fd;

	*ready = false;
	runtime_path(prefix, "config", path, sizeof(path));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		pid = lock.l_pid > 0 ? lock.l_pid : -1;
	if (pread(fd, &magic, sizeof(magic), 0) == sizeof(magic))
		*ready = magic == RTE_MAGIC;
	close(fd);
	return pid;
}

bool control_plane_alive(const struct control_plane *p)
{
	bool ready;

	return primary_find(p->prefix, &ready) != 0;
}

/* All CPUs this process may use, as EAL writes sets ("0,1,5"). */
static void cpu_list(char *buf, size_t len)
{
	cpu_set_t set;
	size_t used = 0;

	buf[0] = '\0';
	if (sched_getaffinity(0, sizeof(set), &set))
		CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE && used + 8 < len; i++)
		if (CPU_ISSET(i, &set))
			used += (size_t)snprintf(buf + used, len - used, "%s%d", used ? "," : "",
						 i);
	if (!used)
		snprintf(buf, len, "0");
}

/*
 * One lcore that floats over all CPUs, with a number no dataplane uses: EAL would
 * otherwise pin this process to a core that a worker spins on.
 */
static int eal_start(struct control_plane *p)
{
	char prefix[96], lcores[4200], cpus[4096];
	char *argv[] = {(char *)"opes-control",
			(char *)"--proc-type=secondary",
			prefix,
			lcores,
			(char *)"--no-telemetry",
			p->verbose ? (char *)"--log-level=lib.eal:info"
				   : (char *)"--log-level=lib.eal:critical",
			NULL};

	cpu_list(cpus, sizeof(cpus));
	snprintf(prefix, sizeof(prefix), "--file-prefix=%s", p->prefix);
	snprintf(lcores, sizeof(lcores), "--lcores=%d@(%s)", RTE_MAX_LCORE - 1, cpus);
	p->eal = true;
	if (rte_eal_init(6, argv) < 0)
		return -(rte_errno ? rte_errno : EIO);
	return 0;
}

static enum control_plane_state lose(struct control_plane *p, const char *why)
{
	snprintf(p->why, sizeof(p->why), "%s", why);
	p->state = CONTROL_PLANE_LOST;
	return p->state;
}

static bool primary_gone(const struct control_plane *p)
{
	struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};

	if (p->pidfd >= 0)
		return poll(&pfd, 1, 0) > 0;
	return !control_plane_alive(p);
}

/* True when a lock of shared memory is held: whoever attaches would wait for it, perhaps for ever.
 */
static bool locks_held(struct control_plane *p, uint64_t now_us)
{
	unsigned released;
	char path[4096];
	int r;

	runtime_path(p->prefix, "config", path, sizeof(path));
	r = control_locks_look(&p->locks, path, now_us, &released);
	if (released)
		control_log_error(
			"%u of DPDK's locks were still held by a process that was killed; released",
			released);
	return r > 0;
}

static enum control_plane_state attach(struct control_plane *p, uint64_t now_us)
{
	bool ready;
	pid_t pid = primary_find(p->prefix, &ready);
	int r;

	if (!pid || pid == p->avoid) {
		if (!pid)
			snprintf(p->why, sizeof(p->why), "not running");
		return p->state;
	}
	if (!ready) {
		snprintf(p->why, sizeof(p->why), "starting");
		return p->state;
	}
	if (locks_held(p, now_us)) {
		snprintf(p->why, sizeof(p->why),
			 "running, its memory is locked by another process");
		return p->state;
	}
	p->pid = pid;
	p->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	r = eal_start(p);
	if (r < 0) {
		char why[128];

		snprintf(why, sizeof(why), "cannot attach to its memory: %s", strerror(-r));
		return lose(p, why);
	}
	snprintf(p->why, sizeof(p->why), "starting");
	p->state = CONTROL_PLANE_WAITING;
	return p->state;
}

/* The layout is a contract between two programs: another build's is not touched. */
static enum control_plane_state root_find(struct control_plane *p)
{
	size_t size;
	struct shm_root *root = control_plane_zone_lookup(SHM_MEMZONE, &size);

	if (!root || root->magic == 0)
		return p->state;
	if (root->magic != SHM_MAGIC || root->version != SHM_VERSION ||
	    root->size != sizeof(*root) || size < sizeof(*root)) {
		p->avoid = p->pid;
		return lose(p, "running, but of another build; restart it or this program");
	}
	if (atomic_load_explicit(&root->heartbeat_us, memory_order_acquire) == 0)
		return p->state; /* not filled yet */
	p->root = root;
	p->state = CONTROL_PLANE_UP;
	return p->state;
}

enum control_plane_state control_plane_poll(struct control_plane *p, uint64_t now_us)
{
	uint64_t beat;

	if (p->state == CONTROL_PLANE_LOST)
		return p->state;
	if (p->state == CONTROL_PLANE_ABSENT && !p->never && now_us >= p->not_before_us)
		attach(p, now_us);
	if (p->state >= CONTROL_PLANE_WAITING && p->state != CONTROL_PLANE_LOST && primary_gone(p))
		return lose(p, "not running");
	if (p->state == CONTROL_PLANE_WAITING)
		root_find(p);
	if (p->state == CONTROL_PLANE_UP || p->state == CONTROL_PLANE_STALLED) {
		beat = atomic_load_explicit(&p->root->heartbeat_us, memory_order_acquire);
		if (beat == 0)
			return p->state; /* it is ending in order */
		p->state = now_us > beat + CONTROL_PLANE_STALL_US ? CONTROL_PLANE_STALLED
								  : CONTROL_PLANE_UP;
	}
	return p->state;
}

const char *control_plane_state_name(enum control_plane_state s)
{
	switch (s) {
	case CONTROL_PLANE_UP:
		return "up";
	case CONTROL_PLANE_STALLED:
		return "stalled";
	default:
		return "down";
	}
}

void control_plane_detach(const struct control_plane *p)
{
	char dir[4096], socket_of_us[32], array_of_us[32];
	struct dirent *e;
	DIR *d;

	if (!p->eal)
		return;
	runtime_path(p->prefix, "", dir, sizeof(dir));
	snprintf(socket_of_us, sizeof(socket_of_us), "mp_socket_%d_", (int)getpid());
	snprintf(array_of_us, sizeof(array_of_us), "_%d", (int)getpid());
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		const char *end = strrchr(e->d_name, '_');

		if (strncmp(e->d_name, socket_of_us, strlen(socket_of_us)) == 0 ||
		    (strncmp(e->d_name, "fbarray_", 8) == 0 && end &&
		     strcmp(end, array_of_us) == 0))
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}

/* DPDK's files are known by their names only: <runtime directory>/dpdk/<prefix>/..., <hugepage
 * directory>/<prefix>map_N. */
void control_plane_unlock(const struct control_plane *p)
{
	char dir[128], map[128], link[64], target[4096];
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	ssize_t n;
	int fd;

	snprintf(dir, sizeof(dir), "/dpdk/%s/", p->prefix);
	snprintf(map, sizeof(map), "/%smap_", p->prefix);
	while (d && (e = readdir(d))) {
		fd = atoi(e->d_name);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = fd > 2 && fd != dirfd(d) ? readlink(link, target, sizeof(target) - 1) : -1;
		target[n > 0 ? n : 0] = '\0';
		if (strstr(target, dir) || strstr(target, map))
			close(fd);
	}
	if (d)
		closedir(d);
}

/* --- memzones ----------------------------------------------------------------------------------
 */

void *control_plane_zone_reserve(const char *name, size_t size)
{
	const struct rte_memzone *z = rte_memzone_reserve_aligned(name, size, SOCKET_ID_ANY, 0, 64);

	if (!z) {
		errno = rte_errno;
		return NULL;
	}
	return z->addr;
}

void *control_plane_zone_lookup(const char *name, size_t *size)
{
	const struct rte_memzone *z = rte_memzone_lookup(name);

	if (!z) {
		errno = ENOENT;
		return NULL;
	}
	if (size)
		*size = z->len;
	return z->addr;
}

void control_plane_zone_free(const char *name)
{
	const struct rte_memzone *z = rte_memzone_lookup(name);

	if (z)
		rte_memzone_free(z);
}

struct zone_list {
	const char *prefix, *keep[2];
	unsigned n;
	char name[ZONES_MAX][RTE_MEMZONE_NAMESIZE];
};

/* Runs under the zone list's lock: takes names only. */
static void zone_collect(const struct rte_memzone *z, void *arg)
{
	struct zone_list *l = arg;

	if (l->n == ZONES_MAX || strncmp(z->name, l->prefix, strlen(l->prefix)) != 0)
		return;
	for (int i = 0; i < 2; i++)
		if (l->keep[i] && strcmp(l->keep[i], z->name) == 0)
			return;
	snprintf(l->name[l->n++], RTE_MEMZONE_NAMESIZE, "%s", z->name);
}

unsigned control_plane_zones_sweep(const char *prefix, const char *keep1, const char *keep2)
{
	static struct zone_list l;

	l.prefix = prefix;
	l.keep[0] = keep1;
	l.keep[1] = keep2;
	l.n = 0;
	rte_memzone_walk(zone_collect, &l);
	for (unsigned i = 0; i < l.n; i++)
		control_plane_zone_free(l.name[i]);
	return l.n;
}
