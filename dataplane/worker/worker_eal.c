/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker/worker_eal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <mntent.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_NS 50000000
#define LOCK_TRIES 100
#define PROCESS_EXITING 0x4 /* PF_EXITING in the flags of /proc/PID/stat */
#define HUGEPAGES_DIR "/sys/kernel/mm/hugepages"

static int fail(char *err, size_t err_len, int rc, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int fail(char *err, size_t err_len, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return rc;
}

/* A killed process keeps its locks until the kernel has taken its memory apart, in a while. */
static bool is_ending(const char *pid)
{
	char path[64], stat[512], *p;
	unsigned flags = 0;
	char state = 'X';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	if (fgets(stat, sizeof(stat), f)) {
		p = strrchr(stat, ')'); /* the name may hold anything */
		if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
			state = 'X';
	}
	fclose(f);
	return state == 'Z' || state == 'X' || (flags & PROCESS_EXITING);
}

/* 0, or -EBUSY with the owner in pid. */
static int lock_wait(int fd, char *pid, size_t size)
{
	const struct timespec pause = {.tv_nsec = LOCK_WAIT_NS};

	for (int tries = 0;; tries++) {
		ssize_t n;

		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		n = pread(fd, pid, size - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		if (tries == LOCK_TRIES || !pid[0] || !is_ending(pid))
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
}

int worker_eal_lock(const char *prefix, char *err, size_t err_len)
{
	char path[256], pid[32] = "";
	int fd;

	if (mkdir(WORKER_RUN_DIR, 0755) != 0 && errno != EEXIST)
		return fail(err, err_len, -errno, "cannot make the directory %s: %s",
			    WORKER_RUN_DIR, strerror(errno));
	snprintf(path, sizeof(path), WORKER_RUN_DIR "/%s.lock", prefix);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail(err, err_len, -errno, "cannot open %s: %s", path, strerror(errno));
	if (lock_wait(fd, pid, sizeof(pid)) != 0) {
		close(fd);
		return fail(err, err_len, -EBUSY,
			    "another opes-dataplane (pid %s) runs with the file prefix %s: stop it "
			    "or set another file-prefix",
			    pid[0] ? pid : "unknown", prefix);
	}
	/* The descriptor stays open: the lock ends with the process, however it ends. */
	if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return fail(err, err_len, -EIO, "cannot write %s", path);
	return 0;
}

/* Where EAL keeps a primary's files: the same choice as its own. */
static void runtime_files(const char *prefix, char *pattern, size_t size)
{
	const char *dir = getenv("RUNTIME_DIRECTORY");

	if (!dir && getuid() == 0)
		dir = "/var/run";
	if (!dir)
		dir = getenv("XDG_RUNTIME_DIR");
	snprintf(pattern, size, "%s/dpdk/%s/fbarray_*", dir ? dir : "/tmp", prefix);
}

static bool all_free(const glob_t *g)
{
	bool all = true;

	for (size_t i = 0; i < g->gl_pathc && all; i++) {
		int fd = open(g->gl_pathv[i], O_RDWR | O_CLOEXEC);

		if (fd < 0)
			continue;
		all = flock(fd, LOCK_EX | LOCK_NB) == 0;
		close(fd);
	}
	return all;
}

int worker_eal_wait_free(const char *prefix, char *err, size_t err_len)
{
	const struct timespec pause = {.tv_nsec = LOCK_WAIT_NS};
	char pattern[512];
	bool all = false;

	runtime_files(prefix, pattern, sizeof(pattern));
	for (int tries = 0; tries < LOCK_TRIES && !all; tries++) {
		glob_t g;

		if (tries)
			nanosleep(&pause, NULL);
		if (glob(pattern, GLOB_NOSORT, NULL, &g) != 0)
			return 0;
		all = all_free(&g);
		globfree(&g);
	}
	if (all)
		return 0;
	return fail(err, err_len, -EBUSY,
		    "a secondary process of DPDK still holds the memory of a dataplane that ended "
		    "(file prefix %s): stop it",
		    prefix);
}

static uint64_t read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long long v = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%llu", &v) != 1)
		v = 0;
	fclose(f);
	return v;
}

/* MiB of hugepages of any size that exist, used or not: pages of a dead process count as used until
 * EAL takes them over. */
static uint64_t hugepages_mb(void)
{
	DIR *d = opendir(HUGEPAGES_DIR);
	struct dirent *e;
	uint64_t kb = 0;

	while (d && (e = readdir(d))) {
		char path[512];
		unsigned size;

		if (sscanf(e->d_name, "hugepages-%ukB", &size) != 1)
			continue;
		snprintf(path, sizeof(path), HUGEPAGES_DIR "/%s/nr_hugepages", e->d_name);
		kb += read_number(path) * size;
		snprintf(path, sizeof(path), HUGEPAGES_DIR "/%s/nr_overcommit_hugepages",
			 e->d_name);
		kb += read_number(path) * size;
	}
	if (d)
		closedir(d);
	return kb >> 10;
}

/* Calls fn for every hugetlbfs mount until it says stop. */
static bool hugetlbfs_find(bool (*fn)(const char *dir, void *ctx), void *ctx)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	bool found = false;

	while (f && !found && (m = getmntent(f)))
		found = strcmp(m->mnt_type, "hugetlbfs") == 0 && fn(m->mnt_dir, ctx);
	if (f)
		endmntent(f);
	return found;
}

static bool any_mount(const char *dir, void *ctx)
{
	return true;
}

int worker_eal_hugepages(const struct policy_config *cfg, char *err, size_t err_len)
{
	uint64_t mb, need = cfg->memory_mb ? cfg->memory_mb : 64;

	if (cfg->no_huge)
		return 0;
	mb = hugepages_mb();
	if (mb == 0)
		return fail(err, err_len, -ENOMEM,
			    "no hugepages: reserve some, for example with \"sysctl "
			    "vm.nr_hugepages=512\"");
	if (mb < need)
		return fail(err, err_len, -ENOMEM,
			    "only %u MiB of hugepages, at least %u MiB are needed: raise "
			    "vm.nr_hugepages",
			    (unsigned)mb, (unsigned)need);
	if (!hugetlbfs_find(any_mount, NULL))
		return fail(
			err, err_len, -ENOMEM,
			"hugepages are not mounted: \"mount -t hugetlbfs nodev /dev/hugepages\"");
	return 0;
}

static int lcore_check(const cpu_set_t *set, uint32_t cpu, const char *what, char *err,
		       size_t err_len)
{
	if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, set))
		return 0;
	return fail(err, err_len, -EINVAL,
		    "%s: CPU %u does not exist here or is not ours (%d usable)", what, cpu,
		    CPU_COUNT(set));
}

int worker_eal_lcores(const struct policy_config *cfg, char *err, size_t err_len)
{
	cpu_set_t set;
	int rc;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return fail(err, err_len, -errno, "cannot read the CPUs of this process: %s",
			    strerror(errno));
	for (uint32_t i = 0; i < cfg->workers; i++) {
		rc = lcore_check(&set, cfg->worker_lcore[i], "lcores of workers", err, err_len);
		if (rc)
			return rc;
		for (uint32_t k = 0; k < i; k++) {
			if (cfg->worker_lcore[i] == cfg->worker_lcore[k])
				return fail(err, err_len, -EINVAL,
					    "lcores of workers: CPU %u is named twice",
					    cfg->worker_lcore[i]);
		}
	}
	return lcore_check(&set, cfg->callout_lcore, "lcore of the callout stage", err, err_len);
}

static bool add(struct worker_eal_args *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static bool add(struct worker_eal_args *a, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (a->argc >= WORKER_EAL_ARGS_MAX)
		return false;
	va_start(ap, fmt);
	n = vasprintf(&a->argv[a->argc], fmt, ap);
	va_end(ap);
	if (n < 0) {
		a->argv[a->argc] = NULL;
		return false;
	}
	a->argc++;
	return true;
}

/* "0@2,1@3,2@(0,1,2,3)": ids count up, main floats over all CPUs: it sleeps nearly always. */
static bool add_lcores(struct worker_eal_args *a, const struct policy_config *cfg)
{
	char s[8192];
	unsigned id = 0;
	size_t n = 0;
	bool comma = false;
	cpu_set_t set;

	a->callout_lcore = UINT32_MAX;
	for (; id < cfg->workers; id++) {
		n += snprintf(s + n, sizeof(s) - n, "%u@%u,", id, cfg->worker_lcore[id]);
		if (cfg->worker_lcore[id] == cfg->callout_lcore)
			a->callout_worker = id;
	}
	if (cfg->worker_lcore[a->callout_worker] != cfg->callout_lcore) {
		n += snprintf(s + n, sizeof(s) - n, "%u@%u,", id, cfg->callout_lcore);
		a->callout_lcore = id++;
	}
	n += snprintf(s + n, sizeof(s) - n, "%u@(", id);
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return false;
	for (int cpu = 0; cpu < CPU_SETSIZE && n < sizeof(s) - 16; cpu++) {
		if (CPU_ISSET(cpu, &set)) {
			n += snprintf(s + n, sizeof(s) - n, "%s%d", comma ? "," : "", cpu);
			comma = true;
		}
	}
	snprintf(s + n, sizeof(s) - n, ")");
	return add(a, "--lcores=%s", s) && add(a, "--main-lcore=%u", id);
}

int worker_eal_args(struct worker_eal_args *a, const struct policy_config *cfg,
		    const struct port_device dev[2], int nextra, char **extra, bool verbose,
		    char *err, size_t err_len)
{
	bool pci = dev[0].pci || dev[1].pci, ok;

	memset(a, 0, sizeof(*a));
	ok = add(a, "opes-dataplane") && add(a, "--proc-type=primary") &&
	     add(a, "--file-prefix=%s", cfg->file_prefix) && add_lcores(a, cfg);
	ok = ok && (pci || add(a, "--no-pci"));
	for (int i = 0; i < 2; i++) {
		if (dev[i].pci)
			ok = ok && add(a, "-a") && add(a, "%s", dev[i].args);
		else
			ok = ok && add(a, "--vdev=%s", dev[i].args);
	}
	if (cfg->memory_mb)
		ok = ok && add(a, "-m") && add(a, "%u", cfg->memory_mb);
	if (cfg->no_huge)
		ok = ok && add(a, "--no-huge");
	ok = ok && add(a, verbose ? "--log-level=info" : "--log-level=notice");
	for (int i = 0; i < nextra; i++)
		ok = ok && add(a, "%s", extra[i]);
	if (ok)
		return 0;
	worker_eal_args_free(a);
	return fail(err, err_len, -E2BIG, "too many arguments for DPDK");
}

void worker_eal_args_free(struct worker_eal_args *a)
{
	for (int i = 0; i < WORKER_EAL_ARGS_MAX; i++)
		free(a->argv[i]);
	memset(a, 0, sizeof(*a));
}

int worker_eal_log_begin(struct worker_eal_log *l, const char *prefix)
{
	int fd, rc = 0;

	l->err_fd = l->out_fd = -1;
	snprintf(l->path, sizeof(l->path), WORKER_RUN_DIR "/%s.log", prefix);
	fd = open(l->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	fflush(stdout);
	l->err_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	l->out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (l->err_fd < 0 || l->out_fd < 0 || dup2(fd, STDERR_FILENO) < 0 ||
	    dup2(fd, STDOUT_FILENO) < 0) {
		rc = -errno;
		worker_eal_log_end(l);
	}
	close(fd);
	return rc;
}

static void restore(int *saved, int fd)
{
	if (*saved < 0)
		return;
	dup2(*saved, fd);
	close(*saved);
	*saved = -1;
}

void worker_eal_log_end(struct worker_eal_log *l)
{
	fflush(stderr);
	fflush(stdout);
	restore(&l->err_fd, STDERR_FILENO);
	restore(&l->out_fd, STDOUT_FILENO);
}

void worker_eal_log_last(const struct worker_eal_log *l, char *line, size_t size)
{
	FILE *f = fopen(l->path, "re");
	char s[512];

	line[0] = '\0';
	while (f && fgets(s, sizeof(s), f)) {
		s[strcspn(s, "\n")] = '\0';
		/* What telemetry says at every start explains nothing. */
		if (s[0] && strncmp(s, "TELEMETRY", 9) != 0)
			snprintf(line, size, "%s", s);
	}
	if (f)
		fclose(f);
}

static bool remove_files(const char *dir, void *ctx)
{
	char pattern[512];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/%smap_*", dir, (const char *)ctx);
	if (glob(pattern, GLOB_NOSORT, NULL, &g) != 0)
		return false;
	for (size_t i = 0; i < g.gl_pathc; i++)
		unlink(g.gl_pathv[i]);
	globfree(&g);
	return false;
}

void worker_eal_hugepages_release(const char *prefix)
{
	hugetlbfs_find(remove_files, (void *)(uintptr_t)prefix);
}
