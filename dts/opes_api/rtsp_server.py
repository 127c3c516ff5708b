# SPDX-License-Identifier: BSD-3-Clause
"""A real RTSP server (GStreamer's) for the suites: one raw recording as RTP over the connection itself.

usage: rtsp_server.py ADDRESS PORT FILE

rtsp://ADDRESS:PORT/live plays FILE (16 bit, big endian, stereo, 44100 Hz) from its beginning to each client, at its own pace, once.
Runs with Debian's python3 (python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good); stands alone.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def main() -> int:
    address, port, file = sys.argv[1:4]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(address)
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( filesrc location={file} ! rawaudioparse use-sink-caps=false format=pcm pcm-format=s16be sample-rate=44100 "
                       "num-channels=2 ! rtpL16pay name=pay0 pt=10 )")
    factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        print("rtsp-server: cannot listen", flush=True)
        return 1
    print("rtsp-server: ready", flush=True)
    GLib.MainLoop().run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
