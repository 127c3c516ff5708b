/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a port's `device` key means, found out before DPDK starts, so that a
 * mistake is one clear sentence and nothing is half-started.
 *
 *   0000:03:00.0                     a PCI device (bound to vfio-pci or another DPDK driver)
 *   net_af_packet0,iface=in0         a DPDK virtual device and its arguments
 *
 * Cold path, main thread. err gets one sentence without newline when a function fails.
 */
#ifndef PORT_DEVICE_H
#define PORT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_L2_MAX 22u /* Ethernet header and two VLAN tags */
#define PORT_MTU_MIN 576u
#define PORT_MTU_MAX 9216u

struct port_device {
	char name
		[64]; /* of the device in DPDK: the PCI address, or what precedes the first comma */
	char driver[32];     /* name without its number; "" for PCI */
	char args[384];	     /* argument of --vdev or -a */
	char iface[32];	     /* kernel interface of af_packet and af_xdp, or "" */
	uint32_t frame_size; /* net_af_packet: octets of one ring frame, else 0 */
	uint16_t mtu;
	bool pci;
};

/* Takes the device key apart. For net_af_packet, whose rings hold 512 frames of 2 KiB if nothing is
 * said, framecnt is added, and framesz and blocksz when mtu needs more, and refused when they are
 * given and too small. 0 or -EINVAL. */
int port_device_parse(struct port_device *d, const char *device, uint16_t mtu, char *err,
		      size_t err_len);

/* Looks for the device: the kernel interface in this network namespace, or the PCI device and its
 * driver. 0, -ENODEV or -EINVAL. */
int port_device_check(const struct port_device *d, char *err, size_t err_len);

/* Readies a kernel interface: its MTU, up, and merging of received packets (GRO, LRO) off, which
 * would make frames larger than the MTU. Does nothing for other devices. 0 or -errno. */
int port_device_prepare(const struct port_device *d, char *err, size_t err_len);

#endif
