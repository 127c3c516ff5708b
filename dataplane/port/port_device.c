/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/port_device.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define AF_PACKET_FRAME_DEFAULT 2048u
#define AF_PACKET_OVERHEAD 128u /* TPACKET2 header, address and alignment, rounded up */
#define AF_PACKET_BLOCK_FRAMES 4u
/* The driver's own 512 frames overflow in the milliseconds a busy host may take a core away. */
#define AF_PACKET_FRAMES 2048u

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

static bool is_pci_address(const char *s)
{
	unsigned domain, bus, slot, function;
	int n = 0;

	if (sscanf(s, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &n) == 4 &&
	    s[n] == '\0')
		return true;
	n = 0;
	return sscanf(s, "%2x:%2x.%1x%n", &bus, &slot, &function, &n) == 3 && s[n] == '\0';
}

/* Value of key= in a comma-separated list; false if there is none. */
static bool arg_get(const char *args, const char *key, char *value, size_t size)
{
	size_t klen = strlen(key);

	for (const char *p = strchr(args, ','); p; p = strchr(p + 1, ',')) {
		if (strncmp(p + 1, key, klen) == 0 && p[1 + klen] == '=') {
			size_t n = strcspn(p + klen + 2, ",");

			snprintf(value, size, "%.*s", (int)n, p + klen + 2);
			return true;
		}
	}
	return false;
}

static bool arg_add(struct port_device *d, const char *key, uint32_t value)
{
	size_t len = strlen(d->args);

	return (size_t)snprintf(d->args + len, sizeof(d->args) - len, ",%s=%u", key, value) <
	       sizeof(d->args) - len;
}

static int af_packet_frames(struct port_device *d, uint16_t mtu, char *err, size_t err_len)
{
	uint32_t need = mtu + PORT_L2_MAX + AF_PACKET_OVERHEAD;
	char value[32];
	bool fits = true;

	d->frame_size = AF_PACKET_FRAME_DEFAULT;
	if (!arg_get(d->args, "framecnt", value, sizeof(value)))
		fits = arg_add(d, "framecnt", AF_PACKET_FRAMES);
	if (arg_get(d->args, "framesz", value, sizeof(value))) {
		d->frame_size = strtoul(value, NULL, 0);
		if (d->frame_size < need)
			return fail(err, err_len, -EINVAL,
				    "framesz=%s of device %s is too small for MTU %u: leave it out "
				    "or give at least %u",
				    value, d->name, mtu, need);
	} else if (need > d->frame_size) {
		if (arg_get(d->args, "blocksz", value, sizeof(value)))
			return fail(err, err_len, -EINVAL,
				    "device %s has blocksz but no framesz, and MTU %u needs frames "
				    "of %u octets: give both or neither",
				    d->name, mtu, need);
		/* Frames must fill their block exactly and blocks must be whole pages: four times a
		 * multiple of 1 KiB. */
		d->frame_size = (need + 1023) & ~1023u;
		fits = fits && arg_add(d, "framesz", d->frame_size) &&
		       arg_add(d, "blocksz", d->frame_size * AF_PACKET_BLOCK_FRAMES);
	}
	if (!fits)
		return fail(err, err_len, -EINVAL, "device \"%.40s...\" is too long", d->args);
	return 0;
}

int port_device_parse(struct port_device *d, const char *device, uint16_t mtu, char *err,
		      size_t err_len)
{
	size_t n = strcspn(device, ","), digits;

	memset(d, 0, sizeof(*d));
	if (mtu < PORT_MTU_MIN || mtu > PORT_MTU_MAX)
		return fail(err, err_len, -EINVAL, "MTU %u is not in %u..%u", mtu, PORT_MTU_MIN,
			    PORT_MTU_MAX);
	if (n == 0 || n >= sizeof(d->name) || strlen(device) >= sizeof(d->args) ||
	    strpbrk(device, " \t\n"))
		return fail(err, err_len, -EINVAL,
			    "device \"%.60s\" is neither a PCI address nor a DPDK device name",
			    device);
	d->mtu = mtu;
	memcpy(d->name, device, n);
	strcpy(d->args, device);
	if (is_pci_address(d->name)) {
		d->pci = true;
		/* DPDK names a device by its whole address. */
		if (strlen(d->name) < 12) {
			snprintf(d->args, sizeof(d->args), "0000:%s", device);
			memcpy(d->name, d->args, n + 5);
		}
		return 0;
	}
	digits = n;
	while (digits > 0 && isdigit((unsigned char)d->name[digits - 1]))
		digits--;
	if (digits < 5 || digits >= sizeof(d->driver) || strncmp(d->name, "net_", 4) != 0)
		return fail(err, err_len, -EINVAL,
			    "device \"%.60s\" is neither a PCI address (0000:03:00.0) nor a DPDK "
			    "virtual device (net_af_packet0,iface=in0)",
			    device);
	memcpy(d->driver, d->name, digits);
	if (strcmp(d->driver, "net_af_packet") == 0 || strcmp(d->driver, "net_af_xdp") == 0) {
		if (!arg_get(d->args, "iface", d->iface, sizeof(d->iface)) || d->iface[0] == '\0' ||
		    strlen(d->iface) >= IFNAMSIZ)
			return fail(
				err, err_len, -EINVAL,
				"device %s needs the name of a network interface: %s,iface=NAME",
				d->name, d->name);
	}
	if (strcmp(d->driver, "net_af_packet") == 0)
		return af_packet_frames(d, mtu, err, err_len);
	return 0;
}

static int pci_check(const struct port_device *d, char *err, size_t err_len)
{
	char path[128], link[PATH_MAX];
	const char *driver;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", d->name);
	if (access(path, F_OK) != 0)
		return fail(err, err_len, -ENODEV,
			    "PCI device %s does not exist: see lspci or dpdk-devbind.py -s",
			    d->name);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", d->name);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return fail(
			err, err_len, -ENODEV,
			"PCI device %s has no driver: bind it with dpdk-devbind.py -b vfio-pci %s",
			d->name, d->name);
	link[n] = '\0';
	driver = strrchr(link, '/');
	driver = driver ? driver + 1 : link;
	/* Bifurcated drivers (mlx5 and its like) stay bound to the kernel; only what surely cannot
	 * work is refused. */
	if (strcmp(driver, "e1000") == 0 || strcmp(driver, "e1000e") == 0 ||
	    strcmp(driver, "igb") == 0 || strcmp(driver, "igc") == 0 ||
	    strcmp(driver, "ixgbe") == 0 || strcmp(driver, "i40e") == 0 ||
	    strcmp(driver, "ice") == 0 || strcmp(driver, "virtio-pci") == 0)
		return fail(err, err_len, -EINVAL,
			    "PCI device %s belongs to the kernel driver %s: bind it with "
			    "dpdk-devbind.py -b vfio-pci %s",
			    d->name, driver, d->name);
	return 0;
}

int port_device_check(const struct port_device *d, char *err, size_t err_len)
{
	if (d->pci)
		return pci_check(d, err, err_len);
	if (d->iface[0] && if_nametoindex(d->iface) == 0)
		return fail(err, err_len, -ENODEV,
			    "network interface %s does not exist in this network namespace",
			    d->iface);
	return 0;
}

static void ethtool_set(int fd, struct ifreq *ifr, uint32_t get, uint32_t set, uint32_t clear)
{
	struct ethtool_value v = {.cmd = get};

	/* Not every driver has every switch; one that has not got it does not merge either. */
	ifr->ifr_data = (char *)&v;
	if (ioctl(fd, SIOCETHTOOL, ifr) != 0 || !(v.data & clear))
		return;
	v.cmd = set;
	v.data &= ~clear;
	ioctl(fd, SIOCETHTOOL, ifr);
}

static int iface_up(int fd, struct ifreq *ifr, char *err, size_t err_len)
{
	if (ioctl(fd, SIOCGIFFLAGS, ifr) != 0)
		return fail(err, err_len, -errno, "cannot read the state of interface %s: %s",
			    ifr->ifr_name, strerror(errno));
	if (ifr->ifr_flags & IFF_UP)
		return 0;
	ifr->ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, ifr) != 0)
		return fail(err, err_len, -errno,
			    "interface %s is down and cannot be brought up: %s", ifr->ifr_name,
			    strerror(errno));
	return 0;
}

static int iface_mtu(int fd, struct ifreq *ifr, uint16_t mtu, char *err, size_t err_len)
{
	if (ioctl(fd, SIOCGIFMTU, ifr) == 0 && ifr->ifr_mtu == mtu)
		return 0;
	ifr->ifr_mtu = mtu;
	if (ioctl(fd, SIOCSIFMTU, ifr) != 0)
		return fail(err, err_len, -errno, "interface %s does not take an MTU of %u: %s",
			    ifr->ifr_name, mtu, strerror(errno));
	return 0;
}

int port_device_prepare(const struct port_device *d, char *err, size_t err_len)
{
	struct ifreq ifr;
	int fd, rc;

	if (!d->iface[0])
		return 0;
	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_name, d->iface, strnlen(d->iface, IFNAMSIZ - 1));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(err, err_len, -errno, "cannot open a socket: %s", strerror(errno));
	ethtool_set(fd, &ifr, ETHTOOL_GGRO, ETHTOOL_SGRO, 1);
	ethtool_set(fd, &ifr, ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, ETH_FLAG_LRO);
	rc = iface_mtu(fd, &ifr, d->mtu, err, err_len);
	if (rc == 0)
		rc = iface_up(fd, &ifr, err, err_len);
	close(fd);
	return rc;
}
