/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "port/port_device.h"

static struct port_device d;
static char err[256];

static int parse(const char *s, uint16_t mtu)
{
	err[0] = '\0';
	return port_device_parse(&d, s, mtu, err, sizeof(err));
}

static void test_af_packet(void **state)
{
	assert_int_equal(parse("net_af_packet0,iface=in0", 1500), 0);
	assert_string_equal(d.name, "net_af_packet0");
	assert_string_equal(d.driver, "net_af_packet");
	assert_string_equal(d.iface, "in0");
	assert_string_equal(d.args, "net_af_packet0,iface=in0,framecnt=2048");
	assert_int_equal(d.frame_size, 2048);
	assert_int_equal(parse("net_af_packet0,framecnt=64,iface=in0", 1500), 0);
	assert_string_equal(d.args, "net_af_packet0,framecnt=64,iface=in0");
}

static void test_af_packet_jumbo(void **state)
{
	assert_int_equal(parse("net_af_packet0,iface=in0", 9000), 0);
	assert_string_equal(d.args,
			    "net_af_packet0,iface=in0,framecnt=2048,framesz=9216,blocksz=36864");
	assert_int_equal(parse("net_af_packet0,iface=in0,framesz=16384,blocksz=65536", 9000), 0);
	assert_int_equal(d.frame_size, 16384);
	assert_int_equal(parse("net_af_packet0,iface=in0,framesz=4096", 9000), -EINVAL);
	assert_non_null(strstr(err, "framesz=4096"));
	assert_int_equal(parse("net_af_packet0,iface=in0,blocksz=65536", 9000), -EINVAL);
}

static void test_others(void **state)
{
	assert_int_equal(parse("net_af_xdp1,iface=out0", 1500), 0);
	assert_string_equal(d.iface, "out0");
	assert_int_equal(parse("net_memif0,role=server,id=3", 1500), 0);
	assert_string_equal(d.iface, "");
	assert_int_equal(parse("0000:03:00.1", 1500), 0);
	assert_true(d.pci);
	assert_int_equal(parse("03:00.1,foo=1", 1500), 0);
	assert_string_equal(d.name, "0000:03:00.1");
	assert_string_equal(d.args, "0000:03:00.1,foo=1");
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"",
					  ",",
					  "eth0",
					  "net_",
					  "net_af_packet0",
					  "net_af_packet0,iface=",
					  "net_af_xdp0,iface=averyverylongname",
					  "net_af packet0,iface=x",
					  "0000:03:00.12"};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], 1500), -EINVAL);
		assert_true(err[0] != '\0');
	}
	assert_int_equal(parse("net_null0", 100), -EINVAL);
	assert_int_equal(parse("net_null0", 10000), -EINVAL);
}

static void test_missing(void **state)
{
	assert_int_equal(parse("net_af_packet0,iface=nosuchif0", 1500), 0);
	assert_int_equal(port_device_check(&d, err, sizeof(err)), -ENODEV);
	assert_non_null(strstr(err, "nosuchif0"));
	assert_int_equal(parse("ffff:ff:1f.7", 1500), 0);
	assert_int_equal(port_device_check(&d, err, sizeof(err)), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_af_packet), cmocka_unit_test(test_af_packet_jumbo),
		cmocka_unit_test(test_others),	  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
