/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets, processes, the pattern, and the probe of the distance between two processors. */
#include "bench/sockets/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define PROBE_TRIPS 20000
#define PROBE_WARM 2000

static uint8_t *arena;

int sockets_arena_make(void)
{
	uint64_t x = 0x9e3779b97f4a7c15;

	arena = malloc(SOCKETS_ARENA);
	if (!arena)
		return -ENOMEM;
	for (size_t i = 0; i < SOCKETS_ARENA; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		arena[i] = (uint8_t)x;
	}
	return 0;
}

const uint8_t *sockets_payload(uint32_t n, uint32_t object, uint32_t offset)
{
	uint32_t places = (SOCKETS_ARENA - object) / 4096;

	return arena + (uint64_t)n * 17 % places * 4096 + offset;
}

uint64_t sockets_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int sockets_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

static int pair_tcp(int fd[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, rc = 0;
	socklen_t len = sizeof(a);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fd[1] = -1;
	if (l < 0 || fd[0] < 0 || bind(l, (struct sockaddr *)&a, len) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&a, &len) ||
	    connect(fd[0], (struct sockaddr *)&a, len))
		rc = -errno;
	if (!rc)
		fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	if (!rc && fd[1] < 0)
		rc = -errno;
	close(l);
	if (rc) {
		close(fd[0]);
		return rc;
	}
	setsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

int sockets_pair(bool tcp, int fd[2])
{
	int size = 1 << 20;

	if (tcp)
		return pair_tcp(fd);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -errno;
	if (setsockopt(fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

int sockets_send_all(int fd, const void *p, size_t len, bool spin)
{
	const char *from = p;

	while (len) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		if (n >= 0) {
			from += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN && !spin) {
			struct pollfd pfd = {.fd = fd, .events = POLLOUT};

			poll(&pfd, 1, -1);
		} else if (errno != EAGAIN && errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int sockets_child(int cpu, int (*fn)(void *arg), void *arg, int *pid)
{
	*pid = fork();
	if (*pid < 0)
		return -errno;
	if (*pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sockets_pin(cpu))
			_exit(3);
		_exit(fn(arg) ? 1 : 0);
	}
	return 0;
}

int sockets_join(int pid, double *cpu_seconds)
{
	struct rusage u;
	int status;

	while (wait4(pid, &status, 0, &u) < 0)
		if (errno != EINTR)
			return -errno;
	if (cpu_seconds)
		*cpu_seconds = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBADMSG;
}

static int probe_answer(void *arg)
{
	_Atomic uint32_t *line = arg;

	for (uint32_t i = 1; i <= PROBE_TRIPS; i++) {
		while (atomic_load_explicit(line, memory_order_acquire) != 2 * i - 1)
			__builtin_ia32_pause();
		atomic_store_explicit(line, 2 * i, memory_order_release);
	}
	return 0;
}

double sockets_probe(int cpu_a, int cpu_b)
{
	_Atomic uint32_t *line;
	uint64_t begin = 0, end;
	cpu_set_t old;
	int pid;

	if (cpu_a == cpu_b || sched_getaffinity(0, sizeof(old), &old))
		return 0;
	line = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (line == MAP_FAILED)
		return 0;
	if (sockets_child(cpu_b, probe_answer, (void *)line, &pid)) {
		munmap((void *)line, 4096);
		return 0;
	}
	sockets_pin(cpu_a);
	for (uint32_t i = 1; i <= PROBE_TRIPS; i++) {
		if (i == PROBE_WARM)
			begin = sockets_now();
		atomic_store_explicit(line, 2 * i - 1, memory_order_release);
		while (atomic_load_explicit(line, memory_order_acquire) != 2 * i)
			__builtin_ia32_pause();
	}
	end = sockets_now();
	sockets_join(pid, NULL);
	munmap((void *)line, 4096);
	sched_setaffinity(0, sizeof(old), &old);
	return (double)(end - begin) / (PROBE_TRIPS - PROBE_WARM + 1);
}
