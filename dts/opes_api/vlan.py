# SPDX-License-Identifier: BSD-3-Clause
"""A VLAN device for kernels that have none: a TAP device whose frames cross DEVICE with a tag.

    python3 -m opes_api.vlan DEVICE TAP TAG
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
SOL_PACKET, PACKET_AUXDATA, ETH_P_ALL, PACKET_OUTGOING = 263, 8, 3, 4
TP_STATUS_VLAN_VALID = 1 << 4


def tag_of(ancillary: list) -> int:
    """The VLAN id of a received frame: the kernel takes the tag out and tells of it beside the octets."""
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
            return tci & 0xFFF if status & TP_STATUS_VLAN_VALID else 0
    return 0


def main(device: str, tap: str, tag: int) -> None:
    t = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(t, TUNSETIFF, struct.pack("16sH", tap.encode(), IFF_TAP | IFF_NO_PI))
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind((device, ETH_P_ALL))
    print("vlan: ready", flush=True)
    insert = b"\x81\x00" + tag.to_bytes(2, "big")
    poll = select.poll()
    poll.register(t, select.POLLIN)
    poll.register(s, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == t:
                frame = os.read(t, 65536)
                s.send(frame[:12] + insert + frame[12:])
            else:
                frame, ancillary, _, peer = s.recvmsg(65536, 256)
                if peer[2] != PACKET_OUTGOING and tag_of(ancillary) == tag:
                    try:
                        os.write(t, frame)
                    except OSError:
                        pass  # the device is not up yet


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
