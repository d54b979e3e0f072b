# SPDX-License-Identifier: Apache-2.0
"""The client in Python against a worker. Needs RUNBUILD, RUNBUILD_TEST_ROOT and uid 0 of a user
namespace: see suite.
"""

import os
import tempfile
import unittest

from runbuild_worker import Client, WorkerError, output_bytes

RUNBUILD, ROOT = os.environ["RUNBUILD"], os.environ["RUNBUILD_TEST_ROOT"]


def step(script, **more):
    return {"step": "s", "process": {"args": ["sh", "-c", script], "env": ["PATH=/bin"]},
            "rootfs": {"path": ROOT}, **more}


class OnEachTransport:
    """The rules of a client, whatever is below it."""

    transport = "fd"

    def setUp(self):
        self.client = Client.spawn(RUNBUILD, self.transport)

    def tearDown(self):
        self.assertEqual(self.client.close(), 0)

    def test_run_hands_output_over_and_gives_the_result(self):
        out = {1: b"", 2: b""}

        def take(fd, data):
            out[fd] += data

        result = self.client.run(step(r'printf "a\377\000b"; echo err >&2; exit 5'), take)
        self.assertEqual((result["code"], result["ok"]), (5, False))
        self.assertEqual(out, {1: b"a\xff\x00b", 2: b"err\n"})

    def test_output_beyond_the_window_is_acknowledged(self):
        sizes = []
        result = self.client.run(step("yes | head -c 3000000"), lambda fd, data: sizes.append(len(data)))
        self.assertEqual((result["code"], sum(sizes)), (0, 3000000))

    def test_output_of_a_further_process_is_its_own(self):
        first, inner = [], []
        held = {"step": "s", "process": {"args": ["sh", "-c", "echo first; read x"], "env": ["PATH=/bin"]},
                "rootfs": {"path": ROOT}, "io": {"stdin": True}}
        request = self.client.request("step.run", held)
        while self.client.receive(30).get("method") != "step.output":
            pass
        result = self.client.exec({"step": "s", "exec": "e", "process": {
            "args": ["sh", "-c", "yes | head -c 700000; exit 4"], "env": ["PATH=/bin"]}},
            lambda fd, data: inner.append(len(data)), timeout=30)
        self.assertEqual((result["code"], sum(inner)), (4, 700000))
        self.client.notify("step.stdin", {"step": "s", "off": 0, "text": "\n"})
        self.assertEqual(self.client.answer(request, first.append, timeout=30)["code"], 0)

    def test_what_came_meanwhile_is_kept_for_receive(self):
        request = self.client.request("step.run", step("exit 0"))
        # the answer to a ping overtakes nothing that was sent before it
        while self.client.call("step.list", timeout=30)["steps"]:
            pass
        kept = [self.client.receive(30) for _ in range(5)]
        told = [message.get("method") for message in kept]
        self.assertEqual((told[0], sorted(told[1:4])), ("step.started", ["step.eof", "step.eof", "step.exited"]))
        self.assertEqual(kept[4]["id"], request)

    def test_warnings_are_handed_over(self):
        warnings = []

        def take(fd, data):  # more than was ever sent
            self.client.notify("step.ack", {"step": "s", "fd": fd, "off": 1 << 40})

        self.client.run(step("echo x; read wait", io={"stdin": True}, timeoutMs=60000), take,
                        warn=lambda kind, text: (warnings.append(kind),
                                                 self.client.notify("step.stdin", {"step": "s", "off": 0, "eof": True})),
                        timeout=30)
        self.assertEqual(len(warnings), 1)

    def test_refusals_have_kind_and_code(self):
        with self.assertRaises(WorkerError) as caught:
            self.client.run({"step": "s"})
        self.assertEqual((caught.exception.kind, caught.exception.code), ("invalid-params", -32602))

    def test_receive_with_a_deadline_gives_none(self):
        self.assertIsNone(self.client.receive(0))

    def test_a_killed_worker_is_told_as_lost(self):
        request = self.client.request("step.run", step("exec sleep 1000"))
        while self.client.receive(30).get("method") != "step.started":
            pass
        self.client.process.kill()
        with self.assertRaises(WorkerError) as caught:
            self.client.answer(request, timeout=30)
        self.assertEqual((caught.exception.kind, caught.exception.code), ("worker-lost", -32031))
        self.assertEqual(self.client.close(), -9)
        self.client = Client.spawn(RUNBUILD, self.transport)  # for tearDown


class OverASocketPair(OnEachTransport, unittest.TestCase):
    def test_a_passed_descriptor_is_the_steps_output(self):
        with tempfile.TemporaryFile() as file:
            result = self.client.run(step("echo to the file", io={"inband": False, "fds": {"stdout": 0}}),
                                     fds=[file.fileno()])
            file.seek(0)
            self.assertEqual((result["code"], file.read()), (0, b"to the file\n"))


class OverStandardStreams(OnEachTransport, unittest.TestCase):
    transport = "stdio"


class OutputBytes(unittest.TestCase):
    def test_text_and_base64(self):
        self.assertEqual(output_bytes({"text": "ä"}), b"\xc3\xa4")
        self.assertEqual(output_bytes({"data": "/wA="}), b"\xff\x00")
