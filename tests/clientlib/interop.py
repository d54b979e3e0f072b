#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Drives a worker with the JSON-RPC library of Debian's python3-aiorpcx: SOCKET ROOT. Prints what
a step said, its status, and the kind of a refusal.
"""

import asyncio
import sys

from aiorpcx import JSONRPCConnection, JSONRPCv2, NewlineFramer, Notification, Request, RPCError


class Peer:
    """The library's connection and framer on a socket; its own sessions are TCP's."""

    def __init__(self, reader, writer):
        self.rpc, self.framer, self.said = JSONRPCConnection(JSONRPCv2), NewlineFramer(), []
        self.writer, self.task = writer, asyncio.create_task(self.read(reader))

    async def read(self, reader):
        while data := await reader.read(1 << 16):
            self.framer.received_bytes(data)
            while True:
                try:
                    message = await asyncio.wait_for(self.framer.receive_message(), 0.01)
                except asyncio.TimeoutError:
                    break
                for request in self.rpc.receive_message(message):
                    if isinstance(request, Notification) and request.method == "step.output":
                        self.said.append(request.args["text"])

    async def call(self, method, params):
        message, answer = self.rpc.send_request(Request(method, params))
        self.writer.write(self.framer.frame(message))
        return await asyncio.wait_for(answer, 30)


async def drive(path, root):
    peer = Peer(*await asyncio.open_unix_connection(path))
    hello = await peer.call("hello", {"versions": [1]})
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo $i; done; exit 4"
    result = await peer.call("step.run", {"step": "interop", "rootfs": {"path": root}, "process": {
        "args": ["sh", "-c", script], "env": ["PATH=/bin"]}})
    try:
        await peer.call("step.signal", {"step": "gone", "signal": "TERM"})
        kind = "not refused"
    except RPCError as error:
        kind = error.code
    print(hello["version"], "".join(peer.said).replace("\n", ""), result["code"], kind)
    peer.writer.close()
    await peer.task

asyncio.run(drive(*sys.argv[1:]))
