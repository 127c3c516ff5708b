# SPDX-License-Identifier: BSD-3-Clause
"""The streams of frames that scenarios send, and capture files of them. Everything follows from a seed.

A stream is a function (count) -> iterator of frames (octets without FCS). Addresses are those of benchmarks (RFC 2544,
198.18.0.0/15), of documentation (RFC 3849) and private ones.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from socket import AF_INET6, inet_aton, inet_ntoa, inet_pton

MAC_SEND, MAC_RECV = bytes.fromhex("020000000a01"), bytes.fromhex("020000000b01")
CLIENT, SERVER, SERVER6 = "198.18.0.1", "198.19.0.80", "2001:db8::80"
WEB = 80
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
IMIX = (64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64)
MIN_FRAME = 60

Stream = Callable[[int], Iterator[bytes]]


def packed(address: str) -> bytes:
    return inet_pton(AF_INET6, address) if ":" in address else inet_aton(address)


def checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return ~s & 0xFFFF


def ether(payload: bytes, kind: int = 0x0800, tags: tuple[tuple[int, int], ...] = (), back: bool = False) -> bytes:
    """An Ethernet frame, padded. tags: (EtherType of the tag, VLAN)."""
    src, dst = (MAC_RECV, MAC_SEND) if back else (MAC_SEND, MAC_RECV)
    head = dst + src + b"".join(struct.pack("!HH", t, v) for t, v in tags) + struct.pack("!H", kind)
    return (head + payload).ljust(MIN_FRAME, b"\0")


def ip4(payload: bytes, src: str, dst: str, proto: int, ident: int = 0, frag: int = 0, options: bytes = b"",
        **wrong: int) -> bytes:
    """An IPv4 packet. frag: flags and offset field. wrong: version, ihl, length as set on purpose."""
    ihl = wrong.get("ihl", 5 + len(options) // 4)
    head = struct.pack("!BBHHHBBH4s4s", wrong.get("version", 4) << 4 | ihl, 0,
                       wrong.get("length", 20 + len(options) + len(payload)), ident & 0xFFFF, frag, 64, proto, 0,
                       packed(src), packed(dst)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(payload: bytes, src: str, dst: str, header: int, length: int | None = None) -> bytes:
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload) if length is None else length, header, 64,
                       packed(src), packed(dst)) + payload


def pseudo(src: str, dst: str, proto: int, n: int) -> bytes:
    a, b = packed(src), packed(dst)
    return a + b + (struct.pack("!BBH", 0, proto, n) if len(a) == 4 else struct.pack("!IHBB", n, 0, 0, proto))


def tcp(src: str, dst: str, sport: int, dport: int, flags: int, seq: int = 1, ack: int = 0, data: bytes = b"",
        options: bytes = b"", offset: int | None = None) -> bytes:
    """A TCP segment. offset: data offset as set on purpose."""
    words = 5 + len(options) // 4 if offset is None else offset
    seg = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, 65535, 0,
                      0) + options + data
    return seg[:16] + struct.pack("!H", checksum(pseudo(src, dst, 6, len(seg)) + seg)) + seg[18:]


def udp(src: str, dst: str, sport: int, dport: int, data: bytes) -> bytes:
    d = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    return d[:6] + struct.pack("!H", checksum(pseudo(src, dst, 17, len(d)) + d) or 0xFFFF) + d[8:]


def source(i: int, first: str = "10.0.0.0") -> str:
    """The i-th address of the flood."""
    return inet_ntoa(struct.pack("!I", struct.unpack("!I", inet_aton(first))[0] + i))


def tcp_frame(src: str, sport: int, flags: int, **more) -> bytes:
    return ether(ip4(tcp(src, SERVER, sport, WEB, flags, **more), src, SERVER, 6))


def udp_frame(size: int, i: int = 0, tags: tuple[tuple[int, int], ...] = (), back: bool = False) -> bytes:
    """size: as Pktgen counts it, with FCS and without tags."""
    src, dst, port = ("198.19.0.9", "198.18.0.9", 7) if back else (CLIENT, "198.19.0.1", 9)
    data = bytes(j & 255 for j in range(size - 4 - 42))
    return ether(ip4(udp(src, dst, 20000 + i % 30000, port, data), src, dst, 17, i), tags=tags, back=back)


# --- streams -----------------------------------------------------------------------------------------------------


def sized(size: int) -> Stream:
    return lambda count: (udp_frame(size, i) for i in range(count))


def imix(count: int) -> Iterator[bytes]:
    return (udp_frame(IMIX[i % len(IMIX)], i) for i in range(count))


def probe(count: int) -> Iterator[bytes]:
    """The thin stream the other way, which no rule selects."""
    return (udp_frame(128, i, back=True) for i in range(count))


def syn(count: int) -> Iterator[bytes]:
    mss = bytes.fromhex("020405b4")
    return (tcp_frame(source(i), 33000, SYN, seq=i * 7919, options=mss) for i in range(count))


def ack(count: int) -> Iterator[bytes]:
    return (tcp_frame(source(i), 33000 + i % 7, ACK, seq=i * 7919, ack=i * 104729) for i in range(count))


def rst(count: int) -> Iterator[bytes]:
    return (tcp_frame(source(i), 33000 + i % 7, RST, seq=i * 7919) for i in range(count))


def churn(count: int) -> Iterator[bytes]:
    """SYN and RST of the same connection, in turn."""
    for i in range(count):
        n = i // 2
        yield tcp_frame(source(n), 34000, RST if i % 2 else SYN, seq=n * 7919 + i % 2)


def skewed(count: int) -> Iterator[bytes]:
    """Nine in ten frames belong to one flow."""
    return (tcp_frame(source(0 if i % 10 else i), 33000, ACK, seq=i) for i in range(count))


def tagged(count: int) -> Iterator[bytes]:
    """No tag, one, two (802.1ad outside)."""
    kinds = ((), ((0x8100, 100),), ((0x88A8, 200), (0x8100, 100)))
    return (udp_frame(128, i, kinds[i % 3]) for i in range(count))


# First octet, octet after the last, more fragments: three that fit, a tiny one, two that overlap, one past the end.
PIECES = ((0, 48, 1), (48, 72, 1), (72, 88, 0), (0, 8, 1), (24, 56, 1), (40, 64, 0), (65528, 65536, 0))


def fragments(count: int) -> Iterator[bytes]:
    """First, middle, last, tiny and overlapping fragments of TCP and UDP; IPv6 fragments every eighth frame."""
    r = random.Random(77)
    for i in range(count):
        src, n, step = source(i // 8, "10.64.0.0"), i // 8, i % 8
        seg = tcp(src, SERVER, 33000, WEB, (SYN, ACK, ACK | PSH)[n % 3], seq=n, data=r.randbytes(64))
        if step == 7:
            head = struct.pack("!BBHI", 6, 0, (1, 16 << 3, 8 << 3 | 1)[n % 3], n)
            yield ether(ip6(head + seg[:32], "2001:db8::1", SERVER6, 44), 0x86DD)
            continue
        data, proto = (seg, 6) if n % 2 else (udp(src, SERVER, 33000, 53, r.randbytes(80)), 17)
        low, high, more = PIECES[step]
        payload = data[low:high] if low < len(data) else b"\xff" * 8
        yield ether(ip4(payload, src, SERVER, proto, n, more << 13 | low // 8))


def malformed(count: int) -> Iterator[bytes]:
    """One contradiction a frame; see the list for which."""
    good = tcp(CLIENT, SERVER, 33000, WEB, SYN)
    frames = (
        ether(ip4(good, CLIENT, SERVER, 6, ihl=3)),                         # header shorter than a header
        ether(ip4(good, CLIENT, SERVER, 6, ihl=15)),                        # header longer than the packet
        ether(ip4(good, CLIENT, SERVER, 6, length=19)),                     # total length below the header's
        ether(ip4(good, CLIENT, SERVER, 6, length=1400)),                   # total length beyond the frame
        ether(ip4(good, CLIENT, SERVER, 6, length=30)),                     # TCP header cut off
        ether(ip4(good, CLIENT, SERVER, 6, version=5)),                     # IPv4's EtherType, another version
        ether(ip4(tcp(CLIENT, SERVER, 33000, WEB, SYN, offset=2), CLIENT, SERVER, 6)),   # data offset below 5
        ether(ip4(tcp(CLIENT, SERVER, 33000, WEB, SYN, offset=15), CLIENT, SERVER, 6)),  # data offset beyond the packet
        ether(ip6(good, "2001:db8::1", SERVER6, 6, length=4000), 0x86DD),   # payload length beyond the frame
        ether(ip6(good[:12], "2001:db8::1", SERVER6, 6), 0x86DD),           # TCP header cut off
        ether(ip6(b"\x00\xff" + good, "2001:db8::1", SERVER6, 0), 0x86DD),  # hop-by-hop options beyond the packet
        ether(ip6(b"\x2c\x00\x00\x00" * 12, "2001:db8::1", SERVER6, 60), 0x86DD),  # a chain of headers without end
        ether(b"\x45", 0x0800),                                             # padding for a packet
        ether(b"\x60", 0x86DD),
        ether(b"\x00\x64\x81\x00", 0x8100),                                 # tags without what they tag
        ether(ip4(b"", CLIENT, SERVER, 6)),                                 # no TCP header at all
    )
    return (frames[i % len(frames)] for i in range(count))


def midstream(count: int) -> Iterator[bytes]:
    """Connections from their middle: requests, responses and an opaque stream, no handshake, no end."""
    r = random.Random(78)
    request = b"GET /download/%d HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
    for i in range(count):
        src, port = source(i % 32, "198.18.1.0"), 41000 + i % 32
        data = (request % i, r.randbytes(400), b"")[i % 3]
        yield tcp_frame(src, port, ACK | (PSH if data else 0), seq=100000 + i * 512, ack=5000 + i, data=data)


def mixture(count: int) -> Iterator[bytes]:
    """UDP of IMIX sizes and ACKs of no connection, in turn."""
    for i in range(count):
        yield tcp_frame(source(i), 33000, ACK, seq=i) if i % 2 else udp_frame(IMIX[i // 2 % len(IMIX)], i)


# The capture files in pcap/: those that Pktgen cannot make by itself.
CAPTURES: dict[str, tuple[Stream, int]] = {
    "flow_churn": (churn, 600),
    "fragment_flood": (fragments, 480),
    "malformed_headers": (malformed, 16),
    "observe_replay": (midstream, 150),
}


def write_pcap(path, frames: Iterator[bytes]) -> int:
    """A classic capture file (the only form Pktgen reads), microseconds from 0; the number of frames."""
    n = 0
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        while batch := list(islice(frames, 4096)):
            out = bytearray()
            for x in batch:
                out += struct.pack("<IIII", n // 1000000, n % 1000000, len(x), len(x)) + x
                n += 1
            f.write(out)
    return n
