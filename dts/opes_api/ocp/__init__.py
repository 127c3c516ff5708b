# SPDX-License-Identifier: BSD-3-Clause
"""An OCP peer for tests, in Python, independent of the C implementation: written from ocp-wire, RFC 4037 and RFC 4236
alone and sharing nothing with it, so that where the two agree the documents were understood twice.

========== ====================================================================================================
wire       octets <-> messages; the encoder also writes wrong things (Raw, size=, repeated names, any cutting)
catalogue  the messages of both dialects with the types of their parameters
endpoint   a connection: transcript, queue of what came, pumping
processor  Processor (synchronous) and its transactions
server     CalloutServer (in a thread, or python3 -m opes_api.ocp)
services   what it does with transactions
model      what a server that echoes must answer to any message, right or wrong
rules      checks every message of the other side against the documents; RuleBroken has the rule's number
========== ====================================================================================================

A processor against a callout server::

    p = Processor("unix:/tmp/s", "draft", service="urn:opes:service:echo")
    x = p.adapt(b"hello")                       # a whole transaction
    assert x.ok and x.forwarded() == b"hello"
    y = p.xaction().start()                     # or step by step
    y.data(b"hel").data(b"lo", keep=False)
    y.finish().wait_end()
    p.send("data-have", 7, 1, 99, payload=b"x") # any message, also a wrong one
    p.raw(b"data-have 7 1 0\\r\\n5:hel")          # any octets
    p.cut = [1]                                 # from now on one octet a write
    p.ping()                                    # everything before has been handled
    p.expect("data-ack", xid=7)                 # the next unread message of that name

    p = Processor("unix:/tmp/s", "core")        # CS, NO ();
    sg = p.http("urn:opes:service:echo", "response", Aux_Parts=["request-header"])
    x = p.adapt([("response-header", b"HTTP/1.1 200 OK\\r\\n\\r\\n"), ("response-body", b"hello")], sg=sg)

p.auto is what a Processor does by itself (answer queries, obey pauses ...): p.auto.discard("pause") makes it misbehave.

A callout server against a processor::

    class Mine(Service):
        def data(self, x, offset, octets, part):
            x.pause() if offset == 0 else x.send(octets.upper(), part)
            x.conn.raw(b"...")                  # anything else

    with CalloutServer("unix:/tmp/s", Mine()) as s:
        ...                                     # drive the processor
        s.do(lambda: s.xactions[0].end(error=True))   # act at any time, in the server's thread
        s.wait("two transactions", lambda: len(s.xactions) == 2)
        s.check()                               # raises the first rule that the processor broke

    Service methods: connected, open, start, data, end, paused, closed, profile, message(conn, m) -> True: handled.
    SXaction: am_start send as_is forward finish end refuse_message pause need ack wont_forward_below stop_receiving
    working leave_loop; conn.send / conn.raw for anything else; conn.auto as above.
"""

from .catalogue import (ACK_ALL, AS_IS, CORE, COPIED, DRAFT, HTTP_REQUEST, HTTP_RESPONSE, LEAVE_LOOP, bind, code,
                        failed)
from .endpoint import Endpoint, PeerError, connect
from .processor import Adapted, Processor, Xaction
from .rules import RuleBroken
from .server import CalloutServer, Connection, SXaction
from .services import Block, Echo, Leave, Replace, Send, Service
from .wire import (Atom, Decoder, Limits, List, Malformed, Message, Raw, Struct, cuts, decode, encode, feature, quoted,
                   result, service)

__all__ = [
    "ACK_ALL", "AS_IS", "CORE", "COPIED", "DRAFT", "HTTP_REQUEST", "HTTP_RESPONSE", "LEAVE_LOOP", "bind", "code", "failed",
    "Endpoint", "PeerError", "connect", "Adapted", "Processor", "Xaction", "RuleBroken", "Block", "CalloutServer",
    "Connection", "Echo", "Leave", "Replace", "Send", "Service", "SXaction", "Atom", "Decoder", "Limits", "List",
    "Malformed", "Message", "Raw", "Struct", "cuts", "decode", "encode", "feature", "quoted", "result", "service",
]
