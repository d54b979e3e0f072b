# SPDX-License-Identifier: Apache-2.0
"""A small client of the runbuild worker protocol: runbuild-protocol(7).

    with Client.spawn() as worker:
        result = worker.run({"step": "a", "process": {"args": ["make"]},
                             "rootfs": {"path": "/srv/root"}},
                            output=lambda fd, data: sys.stdout.buffer.write(data))

One thread, no dependencies. Everything but run() and exec() is message by message, for loops of
one's own: fileno() can be polled, receive(0) returns None when nothing is there. Messages that
came while an answer was waited for are kept, and receive() returns them first.
"""

import array
import base64
import json
import os
import select
import socket
import subprocess
import time


class WorkerError(Exception):
    """The error object of an answer; kind is the stable name."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.data = error.get("data", {})
        self.kind = self.data.get("kind", "internal")


WORKER_LOST = {"code": -32031, "message": "the worker is gone", "data": {"kind": "worker-lost"}}


class Client:
    """A connection. Descriptors can be passed when it is a socket."""

    def __init__(self, reader, writer, sock=None, process=None):
        self.reader, self.writer, self.sock, self.process = reader, writer, sock, process
        self.buffer, self.fds, self.messages, self.last_id = b"", [], [], 0
        self.info = None

    @classmethod
    def spawn(cls, program="runbuild", transport="fd", hello=True, **options):
        """Starts a worker of our own: over its standard streams, or a socket pair ("fd")."""
        if transport == "stdio":
            process = subprocess.Popen([program, "worker", "--stdio"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, bufsize=0, **options)
            client = cls(process.stdout.fileno(), process.stdin.fileno(), None, process)
        else:
            ours, theirs = socket.socketpair()
            process = subprocess.Popen([program, "worker", "--fd", str(theirs.fileno())],
                                       pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                       **options)
            theirs.close()
            client = cls(ours.fileno(), ours.fileno(), ours, process)
        if hello:
            client.hello()
        return client

    @classmethod
    def connect(cls, path, hello=True):
        """Connects to the socket of `runbuild worker --listen`."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        client = cls(sock.fileno(), sock.fileno(), sock)
        if hello:
            client.hello()
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def fileno(self):
        return self.reader

    def close(self):
        """Ends the connection, and with it every step of it. Returns a spawned worker's status."""
        if self.sock:
            self.sock.close()
        elif self.process:
            self.process.stdin.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        if not self.process:
            return None
        status = self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        return status

    def hello(self, **params):
        params = {"versions": [1], "client": "python", **params}
        if self.sock:
            params.setdefault("want", ["io.fds"])
        self.info = self.call("hello", params)
        return self.info

    def send_bytes(self, line, fds=()):
        """One line; all descriptors go with its first byte."""
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            sent = self.sock.sendmsg([line], rights)
            line = line[sent:]
        while line:
            line = line[os.write(self.writer, line):]

    def request(self, method, params=None, fds=(), **envelope):
        """Sends a request and returns its id."""
        self.last_id += 1
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method}
        self._send(message, params, fds, envelope)
        return envelope.get("id", self.last_id)

    def notify(self, method, params=None):
        self._send({"jsonrpc": "2.0", "method": method}, params, (), {})

    def _send(self, message, params, fds, envelope):
        if params is not None:
            message["params"] = params
        if fds:
            message["fds"] = len(fds)
        message.update(envelope)
        self.send_bytes(json.dumps(message).encode() + b"\n", fds)

    def receive(self, timeout=None):
        """The next message; None when there is none within the time, EOFError at the end."""
        if self.messages:
            return self.messages.pop(0)
        return self._receive(timeout)

    def _receive(self, timeout):
        deadline = None if timeout is None else time.monotonic() + timeout
        poll = select.poll()  # select(2) knows no descriptor above 1023
        poll.register(self.reader, select.POLLIN)
        while b"\n" not in self.buffer:
            left = None if deadline is None else max(0, deadline - time.monotonic()) * 1000
            if not poll.poll(left):
                return None
            if not self._read():
                raise EOFError("the worker is gone")
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        message["_fds"] = [self.fds.pop(0) for _ in range(message.get("fds", 0))]
        return message

    def _read(self):
        try:
            if self.sock:
                data, control, flags, _ = self.sock.recvmsg(1 << 18, socket.CMSG_SPACE(4 * 16))
                for level, kind, rights in control:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        numbers = array.array("i")
                        numbers.frombytes(rights[:len(rights) // 4 * 4])
                        self.fds.extend(numbers)
            else:
                data = os.read(self.reader, 1 << 18)
        except ConnectionResetError:
            return False
        # without it a descriptor could be missing and the next one be taken for it
        if self.sock and flags & socket.MSG_CTRUNC:
            raise OSError("descriptors were lost: too many are open")
        self.buffer += data
        return bool(data)

    def answer(self, request, handle=None, timeout=None):
        """Waits for the answer to a request; other messages go to handle, or are kept."""
        while True:
            try:
                message = self._receive(timeout)
            except (EOFError, BrokenPipeError):
                raise WorkerError(WORKER_LOST) from None
            if message is None:
                raise TimeoutError(f"no answer to request {request}")
            if "method" not in message and message.get("id") == request:
                if "error" in message:
                    raise WorkerError(message["error"])
                return message["result"]
            if handle:
                handle(message)
            else:
                self.messages.append(message)

    def call(self, method, params=None, fds=(), timeout=None):
        try:
            return self.answer(self.request(method, params, fds), timeout=timeout)
        except (BrokenPipeError, ConnectionResetError):
            raise WorkerError(WORKER_LOST) from None

    def run(self, step, output=None, fds=(), timeout=None, warn=None):
        """Runs a step to its end, hands its output over and acknowledges it. The result.

        output(fd, data) gets what the step writes, warn(kind, text) what is not as asked for.
        Messages of other steps are kept for receive()."""
        return self._complete("step.run", step, step["step"], output, fds, timeout, warn)

    def exec(self, process, output=None, fds=(), timeout=None, warn=None):
        """The same for a further process in a running step: {"step", "exec", "process"}."""
        return self._complete("step.exec", process, process["exec"], output, fds, timeout, warn)

    def _complete(self, method, params, name, output, fds, timeout, warn):
        def handle(message):
            told = message.get("params", {})
            if told.get("exec", told.get("step")) != name:
                self.messages.append(message)
                return
            for fd in message["_fds"]:
                os.close(fd)
            if message["method"] == "step.warn" and warn:
                warn(told["kind"], told["message"])
            if message["method"] != "step.output":
                return
            data = output_bytes(told)
            if output:
                output(told["fd"], data)
            self.notify("step.ack", {"step": name, "fd": told["fd"], "off": told["off"] + len(data)})

        try:
            return self.answer(self.request(method, params, fds), handle, timeout)
        except (BrokenPipeError, ConnectionResetError):
            raise WorkerError(WORKER_LOST) from None


def output_bytes(params):
    """The bytes of a step.output."""
    if "text" in params:
        return params["text"].encode()
    return base64.b64decode(params["data"])
