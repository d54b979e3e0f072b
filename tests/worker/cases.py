#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the worker's protocol, one function each; TAP on standard output.

Runs as uid 0 of a user and pid namespace in which nothing else runs: see suite. A test may say
why it does not apply by raising Skip.
"""

import argparse
import base64
import contextlib
import ctypes
import difflib
import fcntl
import fnmatch
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

from runbuild_worker import Client, WorkerError, output_bytes

HERE = pathlib.Path(__file__).parent
RUNBUILD = os.environ["RUNBUILD"]
DEADLINE = 30


class Skip(Exception):
    pass


try:
    import jsonschema
except ImportError:
    jsonschema = None


def strict(schema):
    """The same schema with no room for members that it does not name."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def schema_of_worker():
    return json.loads(subprocess.run([RUNBUILD, "schema"], stdout=subprocess.PIPE, check=True).stdout)


def validator_of_replies():
    schema = strict({"$ref": "#/$defs/reply", "$defs": schema_of_worker()["$defs"]})
    return jsonschema.validators.validator_for({"$schema": "https://json-schema.org/draft/2020-12/schema"})(schema)


class CheckedClient(Client):
    """Holds what the worker says against its own schema: the first messages of each connection,
    since the tests of floods would take minutes."""

    validator = None

    def _receive(self, timeout):
        message = super()._receive(timeout)
        self.received = getattr(self, "received", 0) + 1
        if message is not None and jsonschema and self.received <= 40:
            CheckedClient.validator = CheckedClient.validator or validator_of_replies()
            text = {key: value for key, value in message.items() if key != "_fds"}
            assert self.validator.is_valid(text), f"not what the schema says: {json.dumps(text)}"
        return message


def same(what, expected, actual):
    assert expected == actual, f"{what}: expected {expected!r}, got {actual!r}"


def wait_until(what, condition, seconds=DEADLINE):
    """Polls /proc and the like, which have no events."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        select.select([], [], [], 0.005)


# ---- what is left over --------------------------------------------------------------------------

def processes():
    """Names of all processes of this namespace but this one, its shell and the launcher."""
    names = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = pathlib.Path("/proc", pid, "stat").read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:].rsplit(")", 1)
        if rest.split()[0] != "Z" and int(pid) != os.getpid():
            names.append((name, int(pid)))
    return names


BEFORE = set()


def left_over():
    found = [f"process {name} {pid}" for name, pid in processes() if pid not in BEFORE]
    mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    found += [line for line in mounts.splitlines() if " - overlay " in line or "fuse-overlay" in line]
    root = pathlib.Path(os.environ["XDG_RUNTIME_DIR"], "runbuild")
    found += [str(path) for path in root.glob("@run-*")]
    return found


def nothing_is_left():
    """Twice in a row: one look misses what is born behind it, of a parent that dies before it is reached."""
    deadline, looks, left = time.monotonic() + 10, 0, []
    while looks < 2 and time.monotonic() < deadline:
        left = left_over()
        looks = 0 if left else looks + 1
        select.select([], [], [], 0.005)
    same("what is left", [], left)


# ---- workers ------------------------------------------------------------------------------------

class Setup:
    """A worker on the transport under test."""

    transport = "fd"
    scratch = pathlib.Path("/")

    def __init__(self, hello=True, **params):
        self.server = None
        if self.transport == "listen":
            path = str(self.scratch / "tmp" / "sock")
            if os.path.exists(path):
                os.unlink(path)  # of a worker that was killed; replacing it has its own test
            self.server = subprocess.Popen([RUNBUILD, "worker", "--listen", path],
                                           stdin=subprocess.DEVNULL)
            wait_until("the socket is there", lambda: os.path.exists(path))
            self.client = CheckedClient.connect(path, hello=False)
        else:
            self.client = CheckedClient.spawn(RUNBUILD, self.transport, hello=False)
        self.path = path if self.server else None
        if hello:
            self.client.hello(**params)

    def __enter__(self):
        return self.client

    @property
    def process(self):
        return self.server or self.client.process

    def stop(self):
        self.client.close()
        if self.server:
            self.server.terminate()
            self.server.wait(DEADLINE)

    def __exit__(self, *_):
        self.stop()


def only_on(*transports):
    """The rule makes sense on these transports only."""
    def mark(test):
        test.transports = transports
        return test
    return mark


SOCKETS = ("fd", "listen")  # descriptors cannot be passed over pipes


def base():
    return str(Setup.scratch / "s" / "base")


def step(name, script, **more):
    """A step that runs a script of the shell on the base."""
    process = {"args": ["sh", "-c", script], "env": ["PATH=/bin"], **more.pop("process", {})}
    return {"step": name, "process": process, "rootfs": {"path": base()}, **more}


def refusal(call):
    try:
        call()
    except WorkerError as error:
        return error
    raise AssertionError("it was not refused")


def events_until(client, condition, timeout=DEADLINE):
    """Messages up to the first that fulfils the condition, which is the last of them."""
    found = []
    while True:
        message = client.receive(timeout)
        assert message is not None, f"no message within {timeout} s after {found}"
        found.append(message)
        for fd in message["_fds"]:
            os.close(fd)
        if condition(message):
            return found


def method(name):
    return lambda message: message.get("method") == name


def answer_to(request):
    return lambda message: "method" not in message and message.get("id") == request


# ---- transcripts --------------------------------------------------------------------------------

def matches(expected, actual):
    """Equality, with "*" for anything; members that are not expected are a difference."""
    if expected == "*":
        return True
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and \
            all(matches(expected[key], actual[key]) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(matches, expected, actual))
    return type(expected) is type(actual) and expected == actual


TRANSCRIPTS = ("one-step.txt", "refusals.txt", "beside.txt")


def transcript(name):
    for line in (HERE / "golden" / name).read_text().splitlines():
        if line[:2] in ("> ", "< "):
            yield line[0], line[2:].replace("@BASE@", base())


def stream_of(message):
    """Messages of one stream keep their order; those of different ones need not."""
    if message.get("method") in ("step.output", "step.eof"):
        return message["params"]["fd"]
    return message.get("method", "answer")


def take_expected(expected, message):
    """Removes the line that the message is; it must be the first of its stream."""
    for line in expected:
        if stream_of(line) == stream_of(message):
            assert matches(line, message), f"expected {json.dumps(line)}\n     got {json.dumps(message)}"
            break
    else:
        raise AssertionError(f"not expected: {json.dumps(message)}, but {expected}")
    if line.get("method") == "step.started":
        assert line is expected[0], "something came before step.started"
    if "usage" in line.get("result", {}):
        assert len(expected) == 1, f"the answer came before {expected}"
    expected.remove(line)


def play(name, cut=None):
    expected = []
    with Setup(hello=False) as client:
        for direction, line in [*transcript(name), (">", "")]:
            if direction == "<":
                expected.append(json.loads(line))
                continue
            while expected:
                message = client.receive(DEADLINE)
                assert message is not None, f"nothing came instead of {expected}"
                message.pop("_fds")
                take_expected(expected, message)
            data = (line + "\n").encode() if line else b""
            for at in range(0, len(data), cut or len(data) or 1):
                client.send_bytes(data[at:at + (cut or len(data))])


def test_a_step_goes_as_the_transcript_says():
    play("one-step.txt")


def test_refusals_go_as_the_transcript_says():
    play("refusals.txt")


def test_what_goes_on_beside_a_step_goes_as_the_transcript_says():
    play("beside.txt")


def test_transcripts_in_single_bytes_are_the_same():
    for name in TRANSCRIPTS:
        play(name, cut=1)


PREFIX_LINES = (
    '{"jsonrpc":"2.0","id":1,"method":"hello","params":{"versions":[1]}}\n'
    '{"jsonrpc":"2.0","id":2,"method":"step.run","params":{"step":"p","process":{"args":'
    '["sh","-c","echo x >/kept/MARK; exec sleep 1000"],"env":["PATH=/bin"]},"rootfs":{"path":"BASE"},'
    '"mounts":[{"dest":"/kept","src":"WORK"}]}}\n'
    '{"jsonrpc":"2.0","id":3,"method":"ping"}\n')


def prefix_text():
    work = Setup.scratch / "s" / "work"
    work.mkdir(exist_ok=True)
    return PREFIX_LINES.replace("BASE", base()).replace("WORK", str(work)).encode(), work


def cut_points(text):
    """Every prefix near a line's end and every seventh elsewhere: all of them take a minute."""
    ends = [i + 1 for i, byte in enumerate(text) if byte == 10]
    near = {end + d for end in ends for d in (-2, -1, 0, 1)}
    return [n for n in range(len(text) + 1) if n in near or n % 7 == 0 or os.environ.get("ALL")]


def answered(client, text):
    """Everything that the prefix asks for has been done: its answers are there."""
    lines = text.count(b"\n")
    if lines >= 1:
        events_until(client, answer_to(1))
    if lines >= 2:
        events_until(client, method("step.started"))
    return lines


def every_prefix(end):
    text, work = prefix_text()
    points = cut_points(text)
    print(f"# {len(points)} of {len(text) + 1} prefixes", flush=True)
    for n in points:
        mark = work / "MARK"
        mark.unlink(missing_ok=True)
        setup = Setup(hello=False)
        setup.client.send_bytes(text[:n])
        started = answered(setup.client, text[:n]) >= 2
        if started:
            wait_until("the step runs", mark.exists)
        end(setup)
        nothing_is_left()
        same(f"the step after {n} bytes", started, mark.exists())


def test_every_prefix_and_the_end_of_input_leaves_nothing():
    every_prefix(lambda setup: setup.stop())


def test_every_prefix_and_sigkill_of_the_worker_leaves_nothing():
    def kill(setup):
        setup.process.kill()
        setup.process.wait()
        if setup.server and setup.client.process is None:
            setup.client.close()
            return
        setup.client.close()
    every_prefix(kill)


# ---- steps --------------------------------------------------------------------------------------

def test_a_user_of_the_image_has_its_groups():
    passwd = pathlib.Path(base(), "etc", "passwd")
    group = pathlib.Path(base(), "etc", "group")
    before = passwd.read_text(), group.read_text()
    passwd.write_text("root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n")
    group.write_text("app:x:1001:\nextra:x:2000:app\nmore:x:3000:root,app\n")
    wanted = {"app": "1000 1001 1001 2000 3000", "1000": "1000 1001 1001 2000 3000", "77": "77 0 0",
              "app:more": "1000 3000 3000", "1000:5": "1000 5", "root": "0 0 0 3000"}
    with Setup() as client:
        for user, ids in wanted.items():
            script = "echo $(id -u) $(id -g) $(awk '/^Groups/ {$1 = \"\"; print}' /proc/self/status)"
            request = client.request("step.run", step("u", script, process={"user": user}))
            found = events_until(client, answer_to(request))
            text = "".join(m["params"]["text"] for m in found if m.get("method") == "step.output")
            same(f"ids of {user}", ids, text.strip())
    passwd.write_text(before[0])
    group.write_text(before[1])


def test_many_steps_run_beside_each_other():
    with Setup() as client:
        requests = {client.request("step.run", step(f"s{n}", f"echo {n}; exit {n}")): n
                    for n in range(1, 33)}
        output, codes = {}, {}
        while len(codes) < 32:
            message = client.receive(DEADLINE)
            for fd in message["_fds"]:
                os.close(fd)
            if message.get("method") == "step.output":
                output[message["params"]["step"]] = message["params"]["text"]
            elif "result" in message:
                codes[requests[message["id"]]] = message["result"]["code"]
        same("the codes", {n: n for n in range(1, 33)}, codes)
        same("the output", {f"s{n}": f"{n}\n" for n in range(1, 33)}, output)


def test_more_than_64_steps_are_refused():
    with Setup() as client:
        for n in range(64):
            client.request("step.run", step(f"s{n}", "exec sleep 1000"))
        error = refusal(lambda: client.call("step.run", step("more", "true"), timeout=DEADLINE))
        same("the kind", "too-many-steps", error.kind)
        for n in range(64):
            client.request("step.cancel", {"step": f"s{n}"})
        nothing = 0
        while nothing < 64:
            message = client.receive(DEADLINE)
            for fd in message["_fds"]:
                os.close(fd)
            nothing += "usage" in message.get("result", {}) or "error" in message


def test_the_same_name_twice_is_refused():
    with Setup() as client:
        client.request("step.run", step("a", "exec sleep 1000"))
        events_until(client, method("step.started"))
        error = refusal(lambda: client.call("step.run", step("a", "true"), timeout=DEADLINE))
        same("the kind", "duplicate-step", error.kind)


def test_a_pending_id_may_not_be_used_again():
    with Setup() as client:
        client.request("step.run", step("a", "exec sleep 1000"), id=77)
        events_until(client, method("step.started"))
        client.request("ping", id=77)
        message = events_until(client, lambda m: m.get("id") == 77)[-1]
        same("the kind", "duplicate-id", message["error"]["data"]["kind"])


def test_the_same_upper_twice_is_refused_and_the_first_goes_on():
    upper, work = Setup.scratch / "s" / "upper", Setup.scratch / "s" / "upper-work"
    upper.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    root = {"snapshot": {"lower": [base()], "upper": str(upper), "work": str(work)}}
    with Setup() as client:
        first = client.request("step.run", {**step("a", "read x; echo $x"), "rootfs": root,
                                            "io": {"stdin": True}})
        events_until(client, method("step.started"))
        error = refusal(lambda: client.call("step.run", {**step("b", "true"), "rootfs": root},
                                            timeout=DEADLINE))
        same("the code", "RB0702", error.data["rb"])
        client.notify("step.stdin", {"step": "a", "off": 0, "text": "on\n", "eof": True})
        events = events_until(client, answer_to(first))
        same("the output", ["on\n"], [m["params"]["text"] for m in events
                                      if m.get("method") == "step.output"])
        same("the code", 0, events[-1]["result"]["code"])


def test_changes_are_in_the_answer_and_in_pages():
    upper, work = Setup.scratch / "s" / "upper2", Setup.scratch / "s" / "upper2-work"
    upper.mkdir()
    work.mkdir()
    root = {"snapshot": {"lower": [base()], "upper": str(upper), "work": str(work)}}
    script = "mkdir /n; touch /n/1 /n/2 /n/3; rm /etc/group"
    with Setup() as client:
        result = client.run({**step("a", script), "rootfs": root, "onExit": {"changes": True}},
                            timeout=DEADLINE)
        expected = [("etc", "M"), ("etc/group", "D"), ("n", "A"), ("n/1", "A"), ("n/2", "A"), ("n/3", "A")]
        same("the changes", expected, [(c["path"], c["kind"]) for c in result["changes"]])
        same("the driver", "native", result["snapshot"]["driver"])
        mounted = client.call("snapshot.mount", {"id": "m", "snapshot": root["snapshot"]}, timeout=DEADLINE)
        assert os.path.exists(mounted["path"] + "/n/3")
        page = client.call("snapshot.changes", {"id": "m", "limit": 4})
        same("the cursor", "n/1", page["cursor"])
        rest = client.call("snapshot.changes", {"id": "m", "limit": 4, "cursor": page["cursor"]})
        same("the pages", expected, [(c["path"], c["kind"]) for c in page["changes"] + rest["changes"]])
        client.call("snapshot.umount", {"id": "m"})
        wait_until("it is unmounted", lambda: not os.path.exists(mounted["path"]))


def test_a_snapshot_ends_with_its_connection():
    with Setup() as client:
        client.call("snapshot.mount", {"id": "m", "snapshot": {"lower": [base(), "/"]}}, timeout=DEADLINE)
    nothing_is_left()


def test_keep_upper_never_empties_it():
    upper, work = Setup.scratch / "s" / "upper3", Setup.scratch / "s" / "upper3-work"
    upper.mkdir()
    work.mkdir()
    root = {"snapshot": {"lower": [base()], "upper": str(upper), "work": str(work)}}
    with Setup() as client:
        client.run({**step("a", "echo x >/f; exit 1"), "rootfs": root, "onExit": {"keepUpper": "failure"}})
        same("after a failure", ["f"], os.listdir(upper))
        client.run({**step("b", "true"), "rootfs": root, "onExit": {"keepUpper": "failure"}})
        same("after a success", [], os.listdir(upper))


def test_mount_points_made_for_a_step_are_removed():
    source = Setup.scratch / "s" / "source"
    source.mkdir(exist_ok=True)
    with Setup() as client:
        client.run({**step("a", "test -d /stub/a/b"), "removeStubs": "recursive",
                    "mounts": [{"dest": "/stub/a/b", "src": str(source)}]})
        assert not os.path.exists(base() + "/stub")
        client.run({**step("b", "true"), "removeStubs": "leaf",
                    "mounts": [{"dest": "/stub/a/b", "src": str(source)}]})
        assert os.path.exists(base() + "/stub/a") and not os.path.exists(base() + "/stub/a/b")
        os.rmdir(base() + "/stub/a")
        os.rmdir(base() + "/stub")


def test_hosts_and_resolv_are_files_of_the_step():
    with Setup() as client:
        output = []
        client.run({**step("a", "cat /etc/resolv.conf; grep -c build /etc/hosts"), "removeStubs": "leaf",
                    "hosts": [{"host": "build", "ip": "192.0.2.7"}],
                    "resolv": {"nameservers": ["192.0.2.1"], "search": ["a", "b"]}},
                   lambda fd, data: output.append(data))
        same("the output", b"nameserver 192.0.2.1\nsearch a b\n1\n", b"".join(output))


def test_name_servers_are_those_that_were_asked_for():
    file = Setup.scratch / "s" / "servers"
    file.write_text("# of the peer\nnameserver 192.0.2.9\noptions timeout:1\n")
    look = {"removeStubs": "leaf"}
    with Setup() as client:
        same("with options", "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a\noptions ndots:2 edns0\n",
             output_of(client, step("a", "cat /etc/resolv.conf", **look, resolv={
                 "nameservers": ["192.0.2.1", "2001:db8::1"], "search": ["a"], "options": ["ndots:2", "edns0"]})))
        same("a file", file.read_text(), output_of(client, step("b", "cat /etc/resolv.conf", **look, resolv={"path": str(file)})))
        wrong = {
            "/resolv": [{"path": str(file), "search": ["a"]}, {"path": "servers"}],
            "/resolv/options": [{"options": ["a b"]}, {"options": ["a\nnameserver 192.0.2.2"]}],
            "/resolv/nameservers": [{"nameservers": ["name.example"]}],
            "/resolv/search": [{"search": ["a\t"]}],
        }
        for path, resolvs in wrong.items():
            for resolv in resolvs:
                error = refusal(lambda r=resolv: client.run(step("c", "true", resolv=r), timeout=DEADLINE))
                same(f"{resolv}", ("invalid-params", path), (error.kind, error.data["path"]))
        for net in ({"mode": "none"}, {"mode": "slirp"}):
            if net["mode"] == "slirp" and not has_slirp():
                continue
            error = refusal(lambda n=net: client.run(step("d", "true", net=n, resolv={"path": str(file) + ".not"}), timeout=DEADLINE))
            same(f"a missing file, {net}", "mount", error.kind)
        if has_slirp():
            file.write_text("nameserver 127.0.0.53\noptions timeout:1\n")
            same("a file with a server out of reach", ["nameserver 10.0.2.3", "options timeout:1"], sorted(output_of(
                client, step("e", "cat /etc/resolv.conf", net={"mode": "slirp"}, **look, resolv={"path": str(file)})).splitlines()))


def test_a_selector_stays_below_its_source():
    source = Setup.scratch / "s" / "selected"
    (source / "in").mkdir(parents=True, exist_ok=True)
    (source / "in" / "f").write_text("inside")
    if not (source / "out").is_symlink():
        (source / "out").symlink_to("../../../../../../in")
    with Setup() as client:
        for selector in ("in", "out"):
            output = []
            client.run({**step("a", "cat /m/f"), "mounts": [
                {"dest": "/m", "src": str(source), "selector": selector}], "removeStubs": "leaf"},
                lambda fd, data: output.append(data))
            same(f"through {selector}", b"inside", b"".join(output))


def test_a_whole_configuration_can_be_run():
    config = {"ociVersion": "1.0.2", "root": {"path": base()},
              "process": {"args": ["/bin/sh", "-c", "echo $$; exit 4"], "cwd": "/", "env": ["PATH=/bin"]},
              "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
              "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]}}
    with Setup() as client:
        output = []
        result = client.run({"step": "a", "oci": config}, lambda fd, data: output.append(data))
        same("the code and the pid", (4, b"1\n"), (result["code"], b"".join(output)))


# ---- signals, cancelling, timeouts --------------------------------------------------------------

def test_signals_reach_the_program():
    with Setup() as client:
        request = client.request("step.run", step(
            "a", "trap 'echo usr1' USR1; trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done"))
        events_until(client, method("step.output"))
        client.call("step.signal", {"step": "a", "signal": "USR1"})
        client.call("step.signal", {"step": "a", "signal": "TERM"})
        same("the code", 9, events_until(client, answer_to(request))[-1]["result"]["code"])


def test_a_signal_before_the_start_is_kept():
    with Setup() as client:
        line = {"jsonrpc": "2.0", "id": 50, "method": "step.run",
                "params": step("a", "trap 'exit 8' USR1; kill -0 1; sleep 0.2; while :; do sleep 0.01; done")}
        signal_line = {"jsonrpc": "2.0", "id": 51, "method": "step.signal",
                       "params": {"step": "a", "signal": "CONT"}}
        client.send_bytes(f"{json.dumps(line)}\n{json.dumps(signal_line)}\n".encode())
        events = events_until(client, method("step.started"))
        same("the answer to the signal", {}, [m["result"] for m in events if m.get("id") == 51][0])


def test_a_signal_during_the_start_comes_to_the_program():
    """A hook holds the start back. Without a pid namespace no program is an init, which would miss what it has no handler for."""
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top, Setup() as client:
        for number, target in (("TERM", {}), ("USR1", {"target": "group"}), ("HUP", {"target": "all"})):
            os.mkfifo(f"{top}/{number}")
            config = hooks_into(top, "createRuntime", f'touch "$HERE/{number}.runs"; cat "$HERE/{number}"')
            config["process"]["args"] = ["sleep", "1000"]
            config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "pid"]
            request = client.request("step.run", {"step": "a", "oci": config})
            wait_until("the hook runs", lambda name=number: os.path.exists(f"{top}/{name}.runs"))
            for each in 9 * ["CONT", "WINCH"] + [number]:  # none takes the place of another
                same("the answer to the signal", {}, client.call("step.signal", {"step": "a", "signal": each, **target}))
            with open(f"{top}/{number}", "w", encoding="ascii"):
                pass
            events = events_until(client, answer_to(request))
            assert any(m.get("method") == "step.started" for m in events), events
            same("what ended it", number, events[-1]["result"]["signal"])


def test_kill_before_the_start_is_told_as_cancelled():
    with Setup() as client:
        for sender in ({"method": "step.signal", "params": {"step": "a", "signal": "KILL"}},
                       {"method": "step.cancel", "params": {"step": "a", "reason": "changed my mind"}}):
            # a hook keeps it from starting before both lines are read
            run = {"jsonrpc": "2.0", "id": 60, "method": "step.run",
                   "params": {"step": "a", "oci": hooks_into("/", "prestart", "exec sleep 1000")}}
            end = {"jsonrpc": "2.0", "id": 61, **sender}
            client.send_bytes(f"{json.dumps(run)}\n{json.dumps(end)}\n".encode())
            message = events_until(client, answer_to(60))[-1]
            same("the kind", "cancelled-before-start", message["error"]["data"]["kind"])


def test_cancel_waits_for_the_grace_time_and_then_kills():
    with Setup() as client:
        request = client.request("step.run", step("a", "trap 'echo term' TERM; echo up; "
                                                       "while :; do sleep 0.01; done"))
        events_until(client, method("step.output"))
        client.call("step.cancel", {"step": "a", "graceMs": 200, "reason": "test"})
        client.call("step.cancel", {"step": "a", "graceMs": 200})
        events = events_until(client, answer_to(request))
        assert any(m.get("method") == "step.output" and "term" in m["params"]["text"] for m in events)
        result = events[-1]["result"]
        same("the end", (None, "KILL", True, "test"),
             (result["code"], result["signal"], result["cancelled"], result["reason"]))


def test_the_timeout_ends_a_step():
    with Setup() as client:
        result = client.run({**step("a", "exec sleep 1000"), "timeoutMs": 100, "timeoutGraceMs": 50})
        same("the end", (True, "KILL", False), (result["timedOut"], result["signal"], result["ok"]))


def test_valid_exit_codes_only_decide_ok():
    with Setup() as client:
        result = client.run({**step("a", "exit 7"), "validExitCodes": [0, 7]})
        same("the result", (7, True), (result["code"], result["ok"]))


def test_a_further_process_shares_the_step():
    with Setup() as client:
        request = client.request("step.run", step("a", "echo in >/tmp/exec-test; echo up; exec sleep 1000"))
        events_until(client, method("step.output"))
        exec_request = client.request("step.exec", {
            "step": "a", "exec": "e", "process": {
                "args": ["sh", "-c", "cat /tmp/exec-test; rm /tmp/exec-test; "
                                     "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; exit 6"],
                "env": ["PATH=/bin"]}})
        events = events_until(client, answer_to(exec_request))
        text = "".join(m["params"]["text"] for m in events if m.get("method") == "step.output")
        same("the output", "in\nNoNewPrivs:\t1\nSeccomp:\t2\n", text)
        assert all(m["params"]["exec"] == "e" for m in events if "method" in m)
        same("the result", ("a", "e", 6), tuple(events[-1]["result"][k] for k in ("step", "exec", "code")))
        client.call("step.cancel", {"step": "a"})
        events_until(client, answer_to(request))
        error = refusal(lambda: client.call("step.exec", {"step": "a", "exec": "e2", "process": {"args": ["true"]}}))
        same("the kind", "no-such-step", error.kind)


def test_a_further_process_has_terminal_signals_and_figures_of_its_own():
    with Setup() as client:
        request = client.request("step.run", step("a", "echo up; exec sleep 1000"))
        events_until(client, method("step.output"))
        inner = client.request("step.exec", {"step": "a", "exec": "e", "process": {
            "args": ["sh", "-c", "trap 'exit 9' USR1; read x; stty size; while :; do read x; done"], "env": ["PATH=/bin"],
            "tty": True, "rows": 20, "cols": 70}})
        events_until(client, method("step.started"))
        client.call("step.resize", {"step": "e", "rows": 33, "cols": 99})
        client.notify("step.stdin", {"step": "e", "off": 0, "text": "\n"})
        message = events_until(client, lambda m: m.get("method") == "step.output" and "33 99" in m["params"]["text"])[-1]
        same("whose output", ("a", "e"), (message["params"]["step"], message["params"]["exec"]))
        figures = client.call("stats", {"step": "e"})
        same("whose figures", ("a", "e", "running"), (figures["step"], figures["exec"], figures["state"]))
        assert figures["output"]["1"] >= 5, figures
        same("who is listed", {"a", "e"}, {each["step"] for each in client.call("step.list")["steps"]})
        client.call("step.signal", {"step": "e", "signal": "USR1"})
        same("its end", 9, events_until(client, answer_to(inner))[-1]["result"]["code"])
        inner = client.request("step.exec", {"step": "a", "exec": "f", "process": {"args": ["sleep", "1000"], "env": ["PATH=/bin"]}})
        events_until(client, method("step.started"))
        client.call("step.cancel", {"step": "f"})
        result = events_until(client, answer_to(inner))[-1]["result"]
        same("a cancelled one", (True, "KILL"), (result["cancelled"], result["signal"]))
        same("the step goes on", ["a"], [each["step"] for each in client.call("step.list")["steps"]])
        client.call("step.cancel", {"step": "a"})
        events_until(client, answer_to(request))


def test_an_exec_ends_with_its_step():
    with Setup() as client:
        client.request("step.run", step("a", "echo up; exec sleep 1000"))
        events_until(client, method("step.output"))
        request = client.request("step.exec", {"step": "a", "exec": "e", "process": {
            "args": ["sleep", "1000"], "env": ["PATH=/bin"]}})
        events_until(client, method("step.started"))
        client.request("step.signal", {"step": "a", "signal": "KILL"})
        message = events_until(client, answer_to(request))[-1]
        same("the signal", "KILL", message["result"]["signal"])


# ---- streams ------------------------------------------------------------------------------------

def test_input_is_taken_acknowledged_and_ended():
    with Setup() as client:
        request = client.request("step.run", {**step("a", "cat; echo end"), "io": {"stdin": True}})
        events_until(client, method("step.started"))
        client.notify("step.stdin", {"step": "a", "off": 0, "text": "one\n"})
        client.notify("step.stdin", {"step": "a", "off": 4, "data": base64.b64encode(b"\xff\x00").decode(), "eof": True})
        events = events_until(client, answer_to(request))
        data = b"".join(output_bytes(m["params"]) for m in events if m.get("method") == "step.output")
        same("the output", b"one\n\xff\x00end\n", data)
        acks = [m["params"]["off"] for m in events if m.get("method") == "step.ack"]
        same("the last acknowledgement", 6, acks[-1])


def test_input_at_a_wrong_offset_cancels_the_step():
    with Setup() as client:
        request = client.request("step.run", {**step("a", "cat"), "io": {"stdin": True}})
        events_until(client, method("step.started"))
        client.notify("step.stdin", {"step": "a", "off": 5, "text": "x"})
        result = events_until(client, answer_to(request))[-1]["result"]
        same("the end", (True, "bad-offset"), (result["cancelled"], result["reason"]))


def test_more_input_than_the_credit_cancels_the_step():
    with Setup() as client:
        limit = client.info["limits"]["window"]
        request = client.request("step.run", {**step("a", "echo up; exec sleep 1000"), "io": {"stdin": True}})
        events_until(client, method("step.output"))
        # the pipe takes 64 KiB of it, and the step nothing
        for off in range(0, limit + 65536, 65536):
            client.notify("step.stdin", {"step": "a", "off": off, "text": "x" * 65536})
        client.notify("step.stdin", {"step": "a", "off": limit + 65536, "text": "x"})
        result = events_until(client, answer_to(request))[-1]["result"]
        same("the end", (True, "bad-offset"), (result["cancelled"], result["reason"]))


def test_a_stream_stops_at_exactly_its_window_and_ping_is_answered():
    window = 65536
    with Setup() as client:
        request = client.request("step.run", {
            **step("a", "dd if=/dev/zero bs=65536 count=48 2>/dev/null; echo done >&2"),
            "io": {"window": window}})
        got = 0
        while got < window:
            message = events_until(client, method("step.output"))[-1]
            got += len(output_bytes(message["params"]))
        same("bytes", window, got)
        # it has stopped: the next thing that comes is what we ask for
        ping = client.request("ping")
        same("the next message", ping, client.receive(DEADLINE)["id"])
        client.notify("step.ack", {"step": "a", "fd": 1, "off": window})
        total = got
        while True:
            message = client.receive(DEADLINE)
            if message.get("method") == "step.output" and message["params"]["fd"] == 1:
                total += len(output_bytes(message["params"]))
                client.notify("step.ack", {"step": "a", "fd": 1, "off": total})
            elif message.get("id") == request:
                break
        same("all bytes", 48 * 65536, total)
        same("the answer's count", total, message["result"]["output"]["1"])


def test_a_window_is_at_most_the_one_that_is_told():
    with Setup() as client:
        window = client.info["limits"]["window"]
        for asked in (window * 4, None):
            client.request("step.run", step("a", "exec cat /dev/zero", io={} if asked is None else {"window": asked}))
            got = 0
            while got < window:
                got += len(output_bytes(events_until(client, method("step.output"))[-1]["params"]))
            same("bytes", window, got)
            ping = client.request("ping")
            same("the next message", ping, client.receive(DEADLINE)["id"])
            cancel = client.request("step.cancel", {"step": "a"})
            run = events_until(client, lambda m: "usage" in m.get("result", {}))
            assert any(m.get("id") == cancel for m in run), run


def test_each_stream_has_its_own_window_and_old_acknowledgements_change_nothing():
    window = 4096
    with Setup() as client:
        request = client.request("step.run", step(
            "a", "(head -c 100000 /dev/zero; echo) & head -c 3000 /dev/zero >&2; read x; head -c 3000 /dev/zero >&2; wait",
            io={"window": window, "stdin": True}))
        got = {1: 0, 2: 0}

        def read_until(done):
            while not done():
                message = client.receive(DEADLINE)
                assert message is not None, got
                if message.get("method") == "step.output":
                    params = message["params"]
                    same("where it begins", got[params["fd"]], params["off"])
                    got[params["fd"]] += len(output_bytes(params))
                    assert got[1] <= window and got[2] - acked <= window, (got, acked)
                assert message.get("method") != "step.warn", message

        acked = 0
        read_until(lambda: got == {1: window, 2: 3000})
        for off in (3000, 1000, 3000, 0):  # repeated and late ones
            client.notify("step.ack", {"step": "a", "fd": 2, "off": off})
        acked = 3000
        client.notify("step.stdin", {"step": "a", "off": 0, "text": "\n"})
        # the other stream stands still all the while
        read_until(lambda: got == {1: window, 2: 6000})
        client.notify("step.ack", {"step": "a", "fd": 2, "off": 6001})
        same("more than was sent", "bad-notification", events_until(client, method("step.warn"))[-1]["params"]["kind"])
        client.call("step.cancel", {"step": "a"})
        result = events_until(client, answer_to(request))[-1]["result"]
        same("its end", True, result["cancelled"])


def test_a_peer_that_stops_reading_stops_only_output():
    setup = Setup()
    with setup as client:
        client.request("step.run", {**step("flood", "exec yes"), "io": {"window": 0}})
        request = client.request("step.run", step("quiet", "exit 5"))
        # nothing is read until the kernel's buffers are full and the worker has to wait
        wait_until("the worker sleeps", lambda: is_sleeping(setup.process.pid), 20)
        message = events_until(client, answer_to(request), 60)[-1]
        same("the code", 5, message["result"]["code"])


def is_sleeping(pid):
    """In poll for 30 looks in a row."""
    for _ in range(30):
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        if stat.rsplit(")", 1)[1].split()[0] != "S":
            return False
        select.select([], [], [], 0.001)
    return True


def test_characters_are_not_cut():
    text = "äöü€😀" * 20000
    (Setup.scratch / "s" / "text").write_text(text)
    with Setup() as client:
        parts = []
        client.request("step.run", {**step("a", "cat /t"), "io": {"window": 0},
                                    "mounts": [{"dest": "/t", "src": str(Setup.scratch / "s" / "text")}],
                                    "removeStubs": "leaf"}, id=70)
        for message in events_until(client, answer_to(70)):
            if message.get("method") == "step.output":
                parts.append(message["params"]["text"])
        same("the text", text, "".join(parts))
        # one byte at a time, each told before the next is written
        request = client.request("step.run", step("b", "for byte in '\\342' '\\202' '\\254' '\\342'; do read x; printf $byte; echo >&2; done",
                                                  io={"stdin": True}))
        events_until(client, method("step.started"))
        parts = []
        for off in range(4):
            client.notify("step.stdin", {"step": "b", "off": off, "text": "\n"})
            parts += events_until(client, lambda m: m.get("method") == "step.output" and m["params"]["fd"] == 2)
        parts += events_until(client, answer_to(request))
        told = [m["params"] for m in parts if m.get("method") == "step.output" and m["params"]["fd"] == 1]
        same("a whole character, and the beginning of one at the end", [(0, "€", None), (3, None, "4g==")],
             [(each["off"], each.get("text"), each.get("data")) for each in told])


def test_a_window_is_kept_within_a_character():
    with Setup() as client:
        request = client.request("step.run", step("a", "printf 'a€€€'", io={"window": 2}))
        got, off = b"", 0
        while (message := client.receive(DEADLINE)).get("id") != request:
            if message.get("method") == "step.output":
                data = output_bytes(message["params"])
                assert message["params"]["off"] == off and len(data) <= 2, message
                got, off = got + data, off + len(data)
                client.notify("step.ack", {"step": "a", "fd": 1, "off": off})
        same("the bytes", "a€€€", got.decode())


def test_merged_streams_keep_their_order():
    with Setup() as client:
        got = []
        client.run({**step("a", "for i in 1 2 3; do echo $i; echo $i >&2; done"), "io": {"merge": True}},
                   lambda fd, data: got.append((fd, data)))
        same("the output", b"1\n1\n2\n2\n3\n3\n", b"".join(data for _, data in got))
        same("the streams", {1}, {fd for fd, _ in got})


def test_without_streams_there_is_dev_null():
    with Setup() as client:
        result = client.run({**step("a", "echo x; cat; exit 2"), "io": {"inband": False}})
        same("the result", (2, {"1": 0, "2": 0, "truncated": False}), (result["code"], result["output"]))


def test_a_terminal_is_resized_and_echoes():
    with Setup() as client:
        request = client.request("step.run", step("a", "stty size; read x; stty size; echo got $x",
                                                  process={"tty": True, "rows": 20, "cols": 70}))
        events_until(client, lambda m: m.get("method") == "step.output" and "20 70" in m["params"]["text"])
        client.call("step.resize", {"step": "a", "rows": 33, "cols": 99})
        client.notify("step.stdin", {"step": "a", "off": 0, "text": "word\n"})
        events = events_until(client, answer_to(request))
        text = "".join(m["params"]["text"] for m in events if m.get("method") == "step.output")
        assert "33 99" in text and "got word" in text, text


@only_on(*SOCKETS)
def test_descriptors_of_the_peer_are_the_steps_streams():
    reader, writer = os.pipe()
    with Setup() as client:
        with os.fdopen(reader, "rb") as output:
            request = client.request("step.run", {**step("a", "cat; echo out; echo err >&2"), "io": {
                "fds": {"stdout": 0, "stderr": 1}}}, fds=[writer, writer])
            os.close(writer)
            same("the output", b"out\nerr\n", output.read())
        events = events_until(client, answer_to(request))
        assert not [m for m in events if m.get("method") in ("step.output", "step.eof")]


@only_on(*SOCKETS)
def test_the_process_descriptor_comes_with_started():
    with Setup() as client:
        client.request("step.run", step("a", "exec sleep 1000"))
        message = client.receive(DEADLINE)
        same("the method and index", ("step.started", 0), (message["method"], message["params"]["pidFd"]))
        poller = select.poll()
        poller.register(message["_fds"][0], select.POLLIN)
        signal.pidfd_send_signal(message["_fds"][0], signal.SIGKILL)
        assert poller.poll(DEADLINE * 1000)
        os.close(message["_fds"][0])


@only_on(*SOCKETS)
def test_a_root_and_a_mount_can_be_descriptors():
    source = Setup.scratch / "s" / "fdsource"
    source.mkdir(exist_ok=True)
    (source / "f").write_text("by descriptor")
    root, mount = os.open(base(), os.O_PATH), os.open(source, os.O_PATH)
    with Setup() as client:
        output = []
        client.run({"step": "a", "process": {"args": ["cat", "/m/f"], "env": ["PATH=/bin"]},
                    "rootfs": {"mountFd": 0}, "mounts": [{"dest": "/m", "fd": 1}], "removeStubs": "leaf"},
                   lambda fd, data: output.append(data), fds=[root, mount])
        same("the output", b"by descriptor", b"".join(output))
    os.close(root)
    os.close(mount)
    if os.path.isdir(base() + "/m"):
        os.rmdir(base() + "/m")


def spawn_without(calls, *options):
    """A worker, and its steps, on a kernel where these system calls answer with these errors."""
    program = Setup.scratch / "tools" / "seccomp-run"
    if not program.exists():
        raise Skip("no C compiler")
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([program, calls, "--", RUNBUILD, "worker", "--fd", str(theirs.fileno()), *options],
                               pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    return CheckedClient(ours.fileno(), ours.fileno(), ours, process)


CONFINED = {"read": ["/bin", "/data/in", "/proc"], "write": ["/data/out"], "execute": ["/bin"]}
TRIES = """
exec 2>&-  # /dev/null may not be written to
try() { name=$1; shift; if "$@"; then echo $name yes; else echo $name no; fi; }
try read cat /data/in/file; try read-elsewhere cat /etc/group; try list ls /data/in; try list-elsewhere ls /data
try write sh -c 'echo x > /data/out/new'; try write-elsewhere sh -c 'echo x > /data/in/file'
try make mkdir /data/out/dir; try make-elsewhere mkdir /data/dir; try remove rm /data/in/file
try run true; try run-elsewhere /data/busybox true
grep NoNewPrivs /proc/self/status
"""
CONFINED_TO = {"read": "yes", "read-elsewhere": "no", "list": "yes", "list-elsewhere": "no", "write": "yes",
               "write-elsewhere": "no", "make": "yes", "make-elsewhere": "no", "remove": "no", "run": "yes",
               "run-elsewhere": "no", "NoNewPrivs:": "1"}


def confined(top, name, script, landlock, **more):
    return step(name, script, security={"landlock": landlock}, mounts=[{"dest": "/data", "src": top}],
                removeStubs="leaf", **more)


@contextlib.contextmanager
def folder_for_landlock():
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top:
        for name in ("in", "out"):
            pathlib.Path(top, name).mkdir()
        pathlib.Path(top, "in", "file").write_text("content\n")
        shutil.copy(base() + "/bin/busybox", f"{top}/busybox")
        yield top


def features_of(client):
    return client.info["features"]


def test_landlock_allows_what_is_listed_and_nothing_else():
    with folder_for_landlock() as top, Setup() as client:
        if "landlock" not in features_of(client):
            raise Skip("this kernel has no landlock")
        output_of(client, confined(top, "warm", "true", CONFINED))
        for name in ("cold", "second"):  # and in a process that has waited
            shutil.rmtree(f"{top}/out")
            os.mkdir(f"{top}/out")
            text = output_of(client, confined(top, name, TRIES, CONFINED))
            said = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
            same(f"what it may do, {name}", CONFINED_TO, said)
        # kinds that are not named are free, an empty list allows nothing; one stream has one order
        text = output_of(client, confined(top, "w", "exec 2>&1; cat /data/in/file; /data/busybox true && echo ran; "
                                          "echo x > /data/out/f || echo denied", {"write": []}))
        same("only writing is restricted", ["content", "ran", "denied"],
             [line for line in text.splitlines() if ":" not in line])
        # a further process is not free of it, whatever it asks for
        request = client.request("step.run", confined(top, "x", "echo up; read x; exit 0", CONFINED, io={"stdin": True}))
        events_until(client, method("step.output"))
        inside = client.request("step.exec", {"step": "x", "exec": "e", "process": {
            "args": ["sh", "-c", "cat /etc/group || echo denied; grep NoNewPrivs /proc/self/status"],
            "env": ["PATH=/bin"], "noNewPrivileges": False}})
        text = "".join(m["params"]["text"] for m in events_until(client, answer_to(inside))
                       if m.get("method") == "step.output")
        assert "denied\n" in text and "NoNewPrivs:\t1" in text, text
        client.notify("step.stdin", {"step": "x", "off": 0, "text": "\n"})
        events_until(client, answer_to(request))


def test_landlock_that_cannot_be_is_refused():
    with folder_for_landlock() as top, Setup() as client:
        for landlock, more in (({}, {}), ({"read": ["data"]}, {}), ({"write": ["/p"] * 257}, {}),
                               ({"write": []}, {"process": {"noNewPrivileges": False}})):
            error = refusal(lambda l=landlock, m=more: client.run(confined(top, "s", "true", l, **m)))
            same(f"the kind for {str(landlock)[:40]}", "invalid-params", error.kind)
            assert error.data["path"].startswith("/security/landlock"), error.data
        error = refusal(lambda: client.run(confined(top, "s", "true", {"net": []})))
        same("an unknown member", ["/security/landlock/net"], error.data["members"])
        if "landlock" in features_of(client):
            error = refusal(lambda: client.run(confined(top, "s", "true", {"read": ["/bin", "/no/such/path"]})))
            same("a path that is not there", ("rootfs", "RB0325", True),
                 (error.kind, error.data["rb"], "/no/such/path" in str(error)))
    for error_name in ("ENOSYS", "EOPNOTSUPP"):
        with folder_for_landlock() as top, spawn_without(f"landlock_create_ruleset={error_name}") as client:
            assert "landlock" not in client.hello()["features"]
            error = refusal(lambda: client.run(confined(top, "s", "true", {"write": []}), timeout=DEADLINE))
            same("without it", ("unsupported", "RB0324", "/security/landlock"),
                 (error.kind, error.data["rb"], error.data["path"]))
            same("and then", 3, client.run(step("n", "exit 3"), timeout=DEADLINE)["code"])


def config_of(args, **more):
    """A whole configuration; what is not given is what an empty one means."""
    return {"ociVersion": "1.0.2", "root": {"path": base(), "readonly": True},
            "process": {"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
            "linux": {"namespaces": [{"type": kind} for kind in ("mount", "pid")]}, **more}


def test_what_cannot_be_set_up_is_told_by_its_kind():
    unlimited = 1 << 40
    cases = {
        "exec-failed": [step("s", "", process={"args": ["no-such-program"]}), step("s", "", process={"cwd": "/bin/sh"})],
        "rootfs": [{**step("s", "true"), "rootfs": {"path": "/no/such/root"}}],
        "mount": [step("s", "true", mounts=[{"dest": "/m", "src": "/no/such/source"}])],
        "user-not-found": [step("s", "true", process={"user": "nobody-of-this-name"})],
        # more than the hard limit wants CAP_SYS_RESOURCE of the host
        "denied": [step("s", "true", process={"rlimits": [{"type": "NOFILE", "soft": unlimited, "hard": unlimited}]})],
        "hook": [{"step": "s", "oci": config_of(["true"], hooks={"prestart": [
            {"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]})}],
        "unsupported": [step("s", "true", process={"apparmor": "no-profile"})]
        if not os.path.isdir("/sys/kernel/security/apparmor") else [],
    }
    with Setup() as client:
        for kind, requests in cases.items():
            for request in requests:
                error = refusal(lambda p=request: client.run(p, timeout=DEADLINE))
                same(f"the kind of {error}", kind, error.kind)
        same("and then", {}, client.call("ping"))


def hooks_into(top, kind, script, **more):
    """A configuration with one hook, which sees the folder as HERE."""
    return config_of(["sh", "-c", "echo step"], annotations={"a": "note"}, hooks={kind: [
        {"path": "/bin/sh", "args": ["sh", "-c", script], "env": [f"HERE={top}", "PATH=/usr/bin:/bin"], **more}]})


def test_hooks_are_told_the_state_and_run_around_the_step():
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top, Setup() as client:
        for kind, status in (("prestart", "creating"), ("createRuntime", "creating"), ("poststart", "running"),
                             ("poststop", "stopped")):
            client.run({"step": kind, "oci": hooks_into(top, kind, 'cat > "$HERE/state"')}, timeout=DEADLINE)
            state = json.loads(pathlib.Path(top, "state").read_text())
            same(f"{kind} is told", (kind, status, {"a": "note"}, status != "stopped"),
                 (state["id"], state["status"], state["annotations"], state.get("pid", 0) > 0))


def test_a_hook_does_not_keep_the_others_waiting():
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top, Setup() as client:
        for kind in ("prestart", "poststart", "poststop"):
            fifo = f"{top}/{kind}"
            os.mkfifo(fifo)
            request = client.request("step.run", {"step": kind, "oci": hooks_into(
                top, kind, f'touch "$HERE/{kind}.runs"; cat {fifo}')})
            wait_until("the hook runs", lambda name=kind: os.path.exists(f"{top}/{name}.runs"))
            same("another step", 3, client.run(step("other", "exit 3"), timeout=DEADLINE)["code"])
            with open(fifo, "w", encoding="ascii"):
                pass
            same(f"the end of the step with {kind}", 0, events_until(client, answer_to(request))[-1]["result"]["code"])


def test_a_hook_ends_at_its_time_or_with_the_step():
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top, Setup() as client:
        sleep = 'echo $$ > "$HERE/pid"; exec sleep 1000'
        error = refusal(lambda: client.run({"step": "late", "oci": hooks_into(top, "prestart", sleep, timeout=1)},
                                           timeout=DEADLINE))
        same("out of time", ("hook", True), (error.kind, "ran out of time (1 s)" in str(error)))
        same("after its end", 0, client.run({"step": "after", "oci": hooks_into(top, "poststop", sleep, timeout=1)},
                                            timeout=DEADLINE)["code"])
        os.unlink(f"{top}/pid")
        request = client.request("step.run", {"step": "a", "oci": hooks_into(top, "prestart", sleep)})
        wait_until("the hook runs", lambda: os.path.exists(f"{top}/pid") and pathlib.Path(top, "pid").read_text())
        client.request("step.cancel", {"step": "a"})
        same("cancelled", "cancelled-before-start", events_until(client, answer_to(request))[-1]["error"]["data"]["kind"])
        pid = pathlib.Path(top, "pid").read_text().strip()
        wait_until("it is gone", lambda: not os.path.exists(f"/proc/{pid}"))


@only_on(*SOCKETS)
def test_what_cannot_be_set_up_of_descriptors_is_told_by_its_kind():
    # of the host: not ours to enter
    net = os.open("/proc/self/ns/net", os.O_RDONLY)
    program = os.memfd_create("bpf")
    os.write(program, struct.pack("=HBBI", 0xffff, 0, 0, 0))  # no instruction of classic BPF
    os.lseek(program, 0, os.SEEK_SET)
    with Setup() as client:
        for kind, request, fd in (("net", step("s", "true", net={"mode": "netns", "netnsFd": 0}), net),
                                  ("seccomp", step("s", "true", security={"seccomp": {"bpfFd": 0}}), program)):
            error = refusal(lambda p=request, f=fd: client.call("step.run", p, fds=[f], timeout=DEADLINE))
            same(f"the kind of {error}", kind, error.kind)
        same("and then", {}, client.call("ping"))
    os.close(net)
    os.close(program)


@only_on(*SOCKETS)
def test_a_descriptor_of_the_wrong_kind_is_refused():
    with Setup() as client:
        directory = os.open("/", os.O_PATH)
        null = os.open("/dev/null", os.O_RDWR)
        for params, fd in ((dict(step("a", "true"), io={"fds": {"stdout": 0}}), directory),
                           (dict(step("a", "true"), mounts=[{"dest": "/m", "fd": 0}]), null),
                           (dict(step("a", "true"), net={"mode": "netns", "netnsFd": 0}), null)):
            error = refusal(lambda p=params, f=fd: client.call("step.run", p, fds=[f], timeout=DEADLINE))
            same("the kind", "bad-fds", error.kind)
        same("and then", {}, client.call("ping"))
        os.close(directory)
        os.close(null)


def closed_with(client, kind):
    """The connection is told the kind and closed."""
    message = events_until(client, lambda m: "error" in m)[-1]
    same("the kind", kind, message["error"]["data"]["kind"])
    try:
        same("then", None, client.receive(DEADLINE))
    except EOFError:
        return
    raise AssertionError("the connection is still open")


def test_fewer_descriptors_than_announced_end_the_connection():
    with Setup() as client:
        client.send_bytes(b'{"jsonrpc":"2.0","id":5,"method":"ping","fds":1}\n')
        closed_with(client, "bad-fds")


@only_on(*SOCKETS)
def test_a_flood_of_descriptors_ends_the_connection():
    with Setup() as client:
        null = os.open("/dev/null", os.O_RDWR)
        for _ in range(3):
            try:
                client.send_bytes(b" ", [null] * 16)
            except (BrokenPipeError, ConnectionResetError):
                break
        closed_with(client, "bad-fds")
        os.close(null)


@only_on(*SOCKETS)
def test_more_descriptors_than_one_message_may_have_end_the_connection():
    """Our buffer for them is full then: MSG_CTRUNC."""
    for count in (40, 253):
        with Setup() as client:
            null = os.open("/dev/null", os.O_RDWR)
            client.send_bytes(b'{"jsonrpc":"2.0","id":9,"method":"ping","fds":16}\n', [null] * count)
            closed_with(client, "bad-fds")
            os.close(null)


def spawn_with(prepare, **options):
    """A worker on a socket pair that starts in a worse state than usual."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([RUNBUILD, "worker", "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                               preexec_fn=prepare, **options)  # pylint: disable=subprocess-popen-preexec-fn
    theirs.close()
    return CheckedClient(ours.fileno(), ours.fileno(), ours, process)


@only_on("fd")
def test_a_worker_with_16_descriptors_refuses_and_lives():
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    with spawn_with(few, stdin=subprocess.DEVNULL) as client:
        try:
            client.hello()
        except WorkerError as error:  # it could not even begin, and has said so
            same("the kind", "worker-lost", error.kind)
            return
        null = os.open("/dev/null", os.O_RDWR)
        requests = [client.request("step.run", step(f"s{n}", "exit 3")) for n in range(8)]
        done = {}
        while len(done) < len(requests):
            message = client.receive(DEADLINE)
            for fd in message["_fds"]:
                os.close(fd)
            if "method" not in message:
                done[message["id"]] = message
        for message in done.values():
            assert message.get("result", {}).get("code") == 3 or "EMFILE" in json.dumps(message["error"]), message
        same("and then", {}, client.call("ping"))
        os.close(null)


@only_on("fd")
def test_a_worker_without_standard_streams_works():
    def bare():
        for fd in range(3):
            os.close(fd)
    with spawn_with(bare) as client:
        client.hello()
        output = []
        result = client.run(step("a", "echo out; echo err >&2; cat; exit 4"), lambda fd, data: output.append((fd, data)))
        same("the code", 4, result["code"])
        same("the output", [(1, b"out\n"), (2, b"err\n")], sorted(output))


@only_on("stdio")
def test_a_closed_side_at_the_start_is_the_end():
    for closed in (0, 1):
        def bare(fd=closed):
            os.close(fd)
        done = subprocess.run([RUNBUILD, "worker", "--stdio"], preexec_fn=bare, timeout=DEADLINE, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode in (0, 125) and not done.stdout, done


@only_on(*SOCKETS)
def test_descriptors_with_an_unreadable_line_end_the_connection():
    with Setup() as client:
        null = os.open("/dev/null", os.O_RDWR)
        client.send_bytes(b"garbage\n", [null])
        closed_with(client, "bad-fds")
        os.close(null)


def open_fds(pid):
    """Without those of the network namespaces that are kept for steps: how many depends on how steps met."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):  # it was that of the folder itself
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    nets = [name for name in names if name.startswith("net:[") or name.split(" ")[0].endswith(("/net/dev", "/net/sockstat"))]
    # 8 without a process, 8 with one that waits
    assert len(nets) <= 3 * 16, f"too many are kept: {nets}"
    return len(names) - len(nets)


@only_on(*SOCKETS)
def test_descriptors_left_over_do_not_stay_open():
    setup = Setup()
    with setup as client:
        pid = worker_pid(setup)
        before = open_fds(pid)
        null = os.open("/dev/null", os.O_RDWR)
        for _ in range(20):
            client.call("ping", fds=[null] * 16)
        same("open descriptors", before, open_fds(pid))
        os.close(null)


def worker_pid(setup):
    return setup.process.pid


# ---- members of a step --------------------------------------------------------------------------

def test_a_step_ignores_no_signal():
    ignored = [signal.SIGINT, signal.SIGUSR1, signal.SIGRTMAX]
    before = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    try:
        with Setup() as client:
            for name in "ab":
                same(f"ignored, {name}", "SigIgn:\t0000000000000000\n", output_of(
                    client, step(name, "", process={"args": ["grep", "^SigIgn:", "/proc/self/status"]})))
                wait_until("a process waits", lambda: client.call("stats")["warm"] > 0)
    finally:
        for number, action in zip(ignored, before):
            signal.signal(number, action)


def test_the_process_is_who_it_was_asked_to_be():
    script = "id -u; id -g; awk '/^Groups/ {print $2, $3, $4}' /proc/self/status; umask; " \
        "cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn; grep -E '^(CapAmb|CapBnd|NoNew)' /proc/self/status"
    bind = ["CAP_NET_BIND_SERVICE"]
    process = {"user": {"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o027}, "oomScoreAdj": 500,
               "rlimits": [{"type": "NOFILE", "soft": 64, "hard": 128}], "noNewPrivileges": False,
               "capabilities": {"bounding": bind, "permitted": bind, "effective": bind, "inheritable": bind, "ambient": bind}}
    with Setup() as client:
        lines = [line.split() for line in output_of(client, step("a", script, process=process)).splitlines()]
        same("the user", [["7"], ["8"]], lines[:2])
        same("the groups", {"8", "9", "10"}, set(lines[2]) | {"8"})
        same("umask, score and limits", [["0027"], ["500"], ["64"], ["128"]], lines[3:7])
        same("capabilities and privileges", {"CapAmb:": 1 << 10, "CapBnd:": 1 << 10, "NoNewPrivs:": 0},
             {name: int(value, 16) for name, value in lines[7:]})


def test_paths_are_masked_and_read_only_as_it_was_asked_for():
    script = "exec 2>&1; cat /etc/group | wc -c; echo x > /etc/passwd || echo read-only; cat /proc/kcore | head -c 1 | wc -c"
    with Setup() as client:
        text = output_of(client, step("a", script, security={"maskedPaths": ["/etc/group"], "readonlyPaths": ["/etc"]}))
        assert text.startswith("0\n") and "read-only" in text, text
        before = pathlib.Path(base(), "etc/passwd").read_text()
        same("by default they are free", "0\n", output_of(client, step(
            "b", f"test $(cat /etc/group | wc -c) -gt 0; echo $?")))
        same("what was not written", before, pathlib.Path(base(), "etc/passwd").read_text())


def test_the_filter_is_the_one_that_was_asked_for():
    refuse_mkdir = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
    script = "grep ^Seccomp: /proc/self/status; mkdir /tmp/new 2>&1"
    tmp = [{"dest": "/tmp", "tmpfs": {"mode": 0o700, "size": 1 << 20}}]
    with Setup() as client:
        same("none", "Seccomp:\t0\n", output_of(client, step("a", script, security={"seccomp": "none"}, mounts=tmp)))
        text = output_of(client, step("b", script, security={"seccomp": {"oci": refuse_mkdir}}, mounts=tmp), 1)
        assert text.startswith("Seccomp:\t2\n") and "not supported" in text, text
        result = client.run(step("c", "exit 0", security={"seccomp": {"oci": refuse_mkdir}}), timeout=DEADLINE)
        parts = result["setupUsec"]
        assert 0 < parts["seccomp"] <= parts["exec"] and parts["net"] == parts["idmap"] == 0, parts
        same("two of them", "invalid-params", refusal(lambda: client.run(
            step("d", "true", security={"seccomp": {}}), timeout=DEADLINE)).kind)


@only_on(*SOCKETS)
def test_a_compiled_filter_is_installed():
    program = os.memfd_create("bpf")
    os.write(program, struct.pack("=HBBI", 6, 0, 0, 0x7fff0000))  # BPF_RET, SECCOMP_RET_ALLOW
    os.lseek(program, 0, os.SEEK_SET)
    with Setup() as client:
        text = output_of(client, step("a", "grep -E '^Seccomp(_filters)?:' /proc/self/status",
                                      security={"seccomp": {"bpfFd": 0}}), fds=[program])
        assert text.startswith("Seccomp:\t2\n"), text
    os.close(program)


def test_mounts_have_the_options_that_were_asked_for():
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top:
        inner = pathlib.Path(top, "inner")
        inner.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inner)], check=True)
        try:
            (inner / "file").touch()
            with Setup() as client:
                for recursive, there in ((True, "file\n"), (False, "")):
                    same(f"recursive {recursive}", there, output_of(client, step(
                        "a", "ls /m/inner", mounts=[{"dest": "/m", "src": top, "recursive": recursive}], removeStubs="leaf")))
                options = output_of(client, step("b", "grep ' /m ' /proc/self/mountinfo", mounts=[
                    {"dest": "/m", "src": top, "options": ["nosuid", "noexec"], "readonly": True}], removeStubs="leaf"))
                for word in ("nosuid", "noexec", "ro"):
                    assert word in re.split("[ ,]", options), options
                error = refusal(lambda: client.run(step("c", "true", mounts=[
                    {"dest": "/not/there", "src": top, "createDest": "none"}]), timeout=DEADLINE))
                same("a place that is not made", "mount", error.kind)
                assert not os.path.exists(base() + "/not")
                same("an unknown option", "invalid-params", refusal(lambda: client.run(step("d", "true", mounts=[
                    {"dest": "/m", "src": top, "options": ["frobnicate"]}]), timeout=DEADLINE)).kind)
        finally:
            subprocess.run(["umount", str(inner)], check=True)


def test_a_mount_point_is_made_as_it_was_asked_for_or_not_at_all():
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top, Setup() as client:
        root, file = pathlib.Path(base()), pathlib.Path(top, "file")
        file.write_text("content")
        here = {"dest": "/made/here"}
        for mount, kind in (({"src": top}, "dir"), ({"src": str(file)}, "file"), ({"tmpfs": {}}, "dir"),
                            ({"src": top, "selector": "file"}, "file"), ({"src": top, "selector": "."}, "dir")):
            script = f"[ -{kind[0]} /made/here ]"
            for _ in range(2):  # the place is missing, then there
                same(f"{mount}, {kind}", "", output_of(client, step("a", script, mounts=[{**here, **mount, "createDest": kind}])))
            found = root / "made" / "here"
            found.rmdir() if kind == "dir" else found.unlink()
            (root / "made").rmdir()
        for mount, kind, told in (({"src": top}, "file", "mount"), ({"src": str(file)}, "dir", "mount"),
                                  ({"src": top, "selector": "file"}, "dir", "mount"), ({"tmpfs": {}}, "file", "invalid-params"),
                                  ({"snapshot": {"lower": [top]}}, "file", "invalid-params"),
                                  ({"src": str(file)}, "none", "mount"), ({"src": top}, "socket", "invalid-params")):
            error = refusal(lambda m=mount, k=kind: client.run(
                step("b", "true", mounts=[{**here, **m, "createDest": k}]), timeout=DEADLINE))
            same(f"{mount}, {kind}", told, error.kind)
            assert not (root / "made").exists(), f"{mount}, {kind}: something was made"


def test_the_root_has_the_propagation_that_was_asked_for():
    with Setup() as client:
        for word, mark in (("shared", "shared:"), ("private", "")):
            text = output_of(client, step("a", "grep ' / / \\| / ' /proc/self/mountinfo | head -n 1",
                                          rootfs={"path": base(), "propagation": word}))
            same(f"{word}", bool(mark), "shared:" in text)


def test_a_device_of_the_host_is_there_when_it_was_asked_for():
    if not os.path.exists("/dev/fuse"):
        raise Skip("/dev/fuse is missing")
    fuse = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}
    with Setup() as client:
        same("without", "", output_of(client, step("a", "ls /dev/fuse 2>/dev/null"), 1))
        same("the numbers", "a e5\n", output_of(client, step("b", "stat -c '%t %T' /dev/fuse", devices=[fuse])))
        same("a wrong number", "mount", refusal(lambda: client.run(step("c", "true", devices=[{**fuse, "minor": 228}]),
                                                                   timeout=DEADLINE)).kind)


def test_namespaces_are_shared_when_it_was_asked_for():
    kinds = {"ipc": "ipc", "uts": "uts", "cgroupNs": "cgroup", "pid": "pid"}
    look = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds.values())
    with Setup() as client:
        ours = [os.readlink(f"/proc/self/ns/{kind}") for kind in kinds.values()]
        same("host", ours, output_of(client, step("a", look, **{key: "host" for key in kinds})).split())
        for mine, theirs in zip(ours, output_of(client, step("b", look)).split()):
            assert mine != theirs, mine
        error = refusal(lambda: client.run(step("c", "true", uts="host", hostname="x")))
        same("a name for all", ("invalid-params", "/hostname"), (error.kind, error.data["path"]))


def test_figures_of_a_step_come_while_it_runs_and_at_its_end():
    with Setup() as client:
        request = client.request("step.run", step("a", "echo up; read x; exit 0", io={"stdin": True}, onExit={"stats": True}))
        sample = events_until(client, method("step.stats"))[-1]["params"]
        same("its state and output", ("running", {"1": 3, "2": 0}), (sample["state"], sample["output"]))
        figures = client.call("stats", {"step": "a"})
        same("what stats says", set(sample), set(figures))
        assert figures["wallUsec"] >= sample["wallUsec"] > 0, (figures, sample)
        client.notify("step.stdin", {"step": "a", "off": 0, "text": "\n"})
        events = events_until(client, answer_to(request))
        order = [m.get("method", "answer") for m in events]
        assert order.index("step.exited") < len(order) - 1 - order[::-1].index("step.stats"), order
        same("an unknown step", "no-such-step", refusal(lambda: client.call("stats", {"step": "b"})).kind)


def test_a_step_may_use_its_grace_time():
    with Setup() as client:
        result = client.run({**step("a", "trap 'exit 5' TERM; while :; do sleep 0.01; done"), "timeoutMs": 100,
                             "timeoutGraceMs": 60000, "validExitCodes": [5]}, timeout=DEADLINE)
        same("the end", (True, 5, False), (result["timedOut"], result["code"], result["ok"]))


def test_labels_are_text_and_kept_in_the_record():
    state = pathlib.Path(os.environ["HOME"], ".local/state/runbuild/records")
    with Setup() as client:
        labels = {"io.example.stage": "build", "n": "1"}
        name = client.run(step("a", "exit 0", labels=labels, record="always", traceparent="00-ab-cd-01"), timeout=DEADLINE)["record"]
        kept = json.loads((state / name / "step.json").read_text())
        same("what is kept", (labels, "00-ab-cd-01"), (kept["labels"], kept["traceparent"]))
        subprocess.run([RUNBUILD, "records", "rm", name], check=True)
        error = refusal(lambda: client.run(step("b", "true", labels={"n": 1})))
        same("a number", ("invalid-params", "/labels/n"), (error.kind, error.data["path"]))


@contextlib.contextmanager
def socket_for_a_step():
    """A directory, and a listening socket "s" in it that a step may connect to."""
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top, socket.socket(socket.AF_UNIX) as listener:
        os.chmod(top, 0o777)
        listener.bind(f"{top}/s")
        os.chmod(f"{top}/s", 0o777)
        listener.listen()
        yield top, listener


def test_what_others_hold_of_a_dead_steps_streams_is_not_waited_for():
    with socket_for_a_step() as (top, listener):
        script = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/out/s'); socket.send_fds(s, [b'x'], [1])"
        request = send_socket_out(top)
        request["process"]["args"][2] = script
        with Setup() as client:
            number = client.request("step.run", request)
            peer = listener.accept()[0]
            held = socket.recv_fds(peer, 1, 1)[1]
            result = events_until(client, answer_to(number))[-1]["result"]
            same("the end", (0, "orphan"), (result["code"], result["output"]["truncated"]))
            for fd in held:
                os.close(fd)
            peer.close()


def test_limits_are_kept_and_told():
    with Setup() as client:
        limits = client.info["limits"]
        mounts = [{"dest": f"/m{n}", "tmpfs": {}} for n in range(limits["mounts"] + 1)]
        error = refusal(lambda: client.run(step("a", "true", mounts=mounts), timeout=DEADLINE))
        same("too many mounts", ("invalid-params", "/mounts"), (error.kind, error.data["path"]))
        for name in ("x" * 65, "", "-a", "a/b"):
            error = refusal(lambda n=name: client.run({**step("a", "true"), "step": n}))
            same(f"the name {name!r:.10}", ("invalid-params", "/step"), (error.kind, error.data["path"]))
        for path, what in (
                ("/process/args/1", {"process": {"args": ["true", "x" * limits["args"]]}}),
                ("/net/ports", {"net": {"mode": "slirp", "ports": [{"parentPort": 20000 + n, "childPort": 1} for n in range(65)]}}),
                ("/security/landlock", {"security": {"landlock": {"read": [f"/{n}" for n in range(257)]}}})):
            error = refusal(lambda w=what: client.run(step("a", "true", **w), timeout=DEADLINE))
            same("too much", ("invalid-params", path), (error.kind, error.data["path"]))
        longest = step("a", "")
        longest["process"]["args"] = ["sh", "-c", "echo ${#1}", "sh", "x" * (limits["args"] - 1)]
        same("the longest argument", f"{limits['args'] - 1}\n", output_of(client, longest))
        for depth, code in ((limits["depth"], None), (limits["depth"] + 1, -32700)):
            nested = "[" * (depth - 2) + "]" * (depth - 2)
            client.send_bytes(f'{{"jsonrpc":"2.0","id":9,"method":"ping","params":{{"x-a":{nested}}}}}\n'.encode())
            same(f"depth {depth}", code, client.receive(DEADLINE).get("error", {}).get("code"))
        same("a name of 64", 0, client.run(step("x" * 64, "exit 0"), timeout=DEADLINE)["code"])
        client.send_bytes(b'{"jsonrpc":"2.0","id":"' + b"i" * 65 + b'","method":"ping"}\n')
        same("an id of 65", -32600, client.receive(DEADLINE)["error"]["code"])
        client.send_bytes(b'\n\n{"jsonrpc":"2.0","id":"' + b"i" * 64 + b'","method":"ping"}\n')
        same("empty lines, and an id of 64", "i" * 64, client.receive(DEADLINE)["id"])
        for number in ("1.5", "1e3", "9007199254740993", "-9007199254740993"):
            client.send_bytes(b'{"jsonrpc":"2.0","id":8,"method":"step.cancel","params":{"step":"a","graceMs":' +
                              number.encode() + b"}}\n")
            same(f"the number {number}", -32602, client.receive(DEADLINE)["error"]["code"])


@contextlib.contextmanager
def program_instead(name, text):
    """In this mount namespace another program has this name."""
    program = shutil.which(name)
    if not program:
        raise Skip(f"{name} is not installed")
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top:
        other = pathlib.Path(top, "program")
        other.write_text(f"#!/bin/sh\n{text}\n")
        other.chmod(0o755)
        subprocess.run(["mount", "--bind", other, program], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", program], check=True)


def test_more_than_256_pending_requests_are_refused():
    """64 steps that run and 192 snapshots whose daemon says nothing."""
    if not os.path.exists("/dev/fuse"):
        raise Skip("/dev/fuse is missing")
    with program_instead("fuse-overlayfs", "exec sleep 1000"), Setup() as client:
        limit = client.info["limits"]["pending"]
        same("the limit", 256, limit)
        steps = client.info["limits"]["steps"]
        for n in range(steps):
            client.request("step.run", step(f"s{n}", "exec sleep 1000"))
        for _ in range(steps):
            events_until(client, method("step.started"))
        mount = {"jsonrpc": "2.0", "method": "snapshot.mount"}
        lines = [{**mount, "id": 1000 + n, "params": {"id": f"m{n}", "snapshot": {"lower": [base(), f"{base()}/bin"], "driver": "fuse"}}}
                 for n in range(limit - steps + 1)]
        # the daemons are given 10 s each: all of them are asked for at once
        client.send_bytes("".join(f"{json.dumps(line)}\n" for line in lines).encode())
        error = events_until(client, lambda m: m.get("id", 0) >= 1000)[-1]
        assert error["id"] == lines[-1]["id"], f"an answer before the last request was made: {error}"
        same("its error", ("too-many-steps", "256 requests wait for their answer"),
             (error["error"]["data"]["kind"], error["error"]["message"]))
        same("what needs no waiting", {}, client.call("ping"))
        client.request("step.cancel", {"step": "s0"}, id=2000)
        events_until(client, answer_to(2000))


def test_a_step_that_is_cancelled_before_its_process_is_born_closes_nothing_of_others():
    if not os.path.exists("/dev/fuse"):
        raise Skip("/dev/fuse is missing")

    def table(setup):
        top = f"/proc/{worker_pid(setup)}/fd"
        return {fd: os.readlink(f"{top}/{fd}") for fd in ("0", "1", "2")}

    setup = Setup()
    with program_instead("fuse-overlayfs", "exec sleep 1000"), setup as client:
        before = table(setup)
        for n in range(3):
            request = client.request("step.run", {**step(f"a{n}", "exit 0"), "rootfs": {
                "snapshot": {"lower": [base(), f"{base()}/bin"], "driver": "fuse"}}})
            wait_until("its daemon is there", lambda: "sleep" in [name for name, _ in processes()])
            same("cancel", {}, client.call("step.cancel", {"step": f"a{n}"}))
            error = events_until(client, answer_to(request))[-1]["error"]
            same("its answer", "cancelled-before-start", error["data"]["kind"])
        same("the worker's first descriptors", before, table(setup))


@only_on("listen")
def test_more_than_64_connections_are_closed():
    setup = Setup()
    with setup as client, contextlib.ExitStack() as stack:
        for _ in range(63):
            stack.enter_context(contextlib.closing(Client.connect(setup.path)))
        with socket.socket(socket.AF_UNIX) as more:
            more.connect(setup.path)
            more.settimeout(DEADLINE)
            with contextlib.suppress(OSError):
                more.sendall(b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"versions":[1]}}\n')
            try:
                same("what the 65th hears", b"", more.recv(100))
            except ConnectionResetError:
                pass
        same("and the first", {}, client.call("ping"))


@only_on("listen")
def test_a_worker_without_descriptors_sleeps_and_accepts_later():
    setup = Setup()
    with setup as client:
        pid = setup.process.pid
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, most))
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(setup.path)
            peer.sendall(b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"versions":[1]}}\n')
            same("the others", {}, client.call("ping"))
            wait_until("the worker sleeps", lambda: is_sleeping(pid), 20)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            peer.settimeout(DEADLINE)
            same("the answer", 1, json.loads(peer.makefile().readline())["id"])


@only_on("listen")
def test_a_peer_with_another_uid_is_refused():
    """Another user of the namespace, whom the modes of the socket and its folders do not keep out; then the owner."""
    peer = "import os, socket, sys\n" \
        "os.setresuid(*[int(os.environ['PEER_UID'])] * 3)\n" \
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n" \
        "try: s.sendall(b'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"versions\":[1]}}\\n')\n" \
        "except BrokenPipeError: pass\n" \
        "try: print(len(s.recv(9999)))\n" \
        "except ConnectionResetError: print(0)\n"
    folders = [Setup.scratch / "tmp", Setup.scratch, *Setup.scratch.parents]
    owned = [folder for folder in folders if folder.stat().st_uid == 0 and os.access(folder, os.W_OK)]
    modes = {folder: folder.stat().st_mode & 0o7777 for folder in owned}
    with Setup() as client:
        path = str(Setup.scratch / "tmp" / "sock")
        try:
            same("the mode of the socket", 0o600, os.stat(path).st_mode & 0o777)
            os.chmod(path, 0o666)
            for folder in owned:
                folder.chmod(0o711 | modes[folder])
            for uid, answered in (("1000", False), ("0", True)):
                said = subprocess.run([sys.executable, "-c", peer, path], env={**os.environ, "PEER_UID": uid},
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE).stdout.decode().strip()
                same(f"an answer for {uid}: {said}", answered, said != "0" and said.isdigit())
        finally:
            for folder, mode in modes.items():
                folder.chmod(mode)
        same("the owner is answered", {}, client.call("ping", {}))


@only_on("listen")
def test_a_socket_may_come_from_whoever_starts_the_worker():
    path = str(Setup.scratch / "tmp" / "activated")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def third():
        os.dup2(listener.fileno(), 3)
    server = subprocess.Popen([RUNBUILD, "worker"], preexec_fn=third, pass_fds=[3], stdin=subprocess.DEVNULL,
                              env={**os.environ, "LISTEN_FDS": "1"})  # pylint: disable=subprocess-popen-preexec-fn
    listener.close()
    with Client.connect(path) as client:
        same("the answer", {}, client.call("ping"))
    server.terminate()
    server.wait(DEADLINE)
    os.unlink(path)


def test_wrong_notifications_are_told_as_warnings():
    with Setup() as client:
        request = client.request("step.run", step("a", "echo up; exec sleep 1000", process={"tty": True}))
        events_until(client, method("step.output"))
        for name, params in (("step.ack", {"step": "a", "fd": 1, "off": 1 << 40}), ("step.stdin", {"step": "none", "off": 0}),
                             ("step.resize", {"step": "a", "rows": 1, "cols": 1 << 20}),
                             ("step.stdin", {"step": "a", "off": 0, "unknown": 1})):
            client.notify(name, params)
            warning = events_until(client, method("step.warn"))[-1]["params"]
            same(f"the warning for {name}", (params["step"], "bad-notification"), (warning["step"], warning["kind"]))
        client.notify("step.resize", {"step": "a", "rows": 9, "cols": 9})
        # on its way when the step ended: no fault of the peer's
        client.notify("step.ack", {"step": "none", "fd": 1, "off": 0})
        client.request("step.cancel", {"step": "a"})
        events_until(client, answer_to(request))


@only_on(*SOCKETS)
def test_an_index_is_used_once_and_was_sent():
    null = os.open("/dev/null", os.O_RDWR)
    with Setup() as client:
        for fds in ({"stdout": 0, "stderr": 0}, {"stdout": 1}):
            error = refusal(lambda f=fds: client.call("step.run", step("a", "true", io={"fds": f}), fds=[null], timeout=DEADLINE))
            same(f"the kind of {fds}", "bad-fds", error.kind)
    os.close(null)


@only_on("fd")
def test_faults_of_this_machine_are_told_by_their_kind():
    cases = {
        "internal": ("pipe2=ENFILE", step("s", "true")),
        "tty": ("ioctl=ENOTTY", step("s", "true", process={"tty": True}, net={"mode": "host"})),
    }
    for kind, (calls, request) in cases.items():
        with spawn_without(calls) as client:
            client.hello()
            error = refusal(lambda r=request: client.run(r, timeout=DEADLINE))
            same(f"the kind of {error}", kind, error.kind)
            same("and then", {}, client.call("ping"))
    config = config_of(["true"])
    config["linux"]["namespaces"].append({"type": "user"})
    ids = [{"containerID": 0, "hostID": 4000000000, "size": 1}]
    config["linux"].update(uidMappings=ids, gidMappings=ids)
    with Setup() as client:
        same("the kind", "idmap", refusal(lambda: client.run({"step": "s", "oci": config}, timeout=DEADLINE)).kind)


# ---- without a pid namespace --------------------------------------------------------------------

def pids_of(name):
    return [pid for found, pid in processes() if found == name]


def shared(name, script, **more):
    return step(name, script, pid="host", **more)


def test_a_step_in_the_workers_pid_namespace_sees_its_processes():
    setup = Setup()
    with setup as client:
        text = output_of(client, shared("a", f"readlink /proc/self/ns/pid; cat /proc/{setup.process.pid}/comm"))
        same("what it sees", f"{os.readlink('/proc/self/ns/pid')}\nrunbuild\n", text)
        text = output_of(client, step("b", f"readlink /proc/self/ns/pid; cat /proc/{setup.process.pid}/comm; exit 0"))
        assert os.readlink("/proc/self/ns/pid") not in text and "runbuild" not in text, text


def left_sleeping():
    found = []
    for _, pid in processes():
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0] == b"sleep":
                found.append(words[1].decode())
    return sorted(found)


def sleepers_are(*wanted):
    wait_until(f"{wanted} sleep", lambda: left_sleeping() == list(wanted))


LEAVES = "setsid sleep 1001 </dev/null & (setsid sh -c 'sleep 1003 & exec sleep 1002' </dev/null >/dev/null 2>&1 &); "


def test_what_such_a_step_leaves_is_killed_with_it():
    with Setup() as client:
        # its own end, with a status; the first sleeper holds its output open
        request = client.request("step.run", shared("a", LEAVES + "echo up; read x; exit 7", io={"stdin": True}))
        events_until(client, method("step.output"))
        sleepers_are("1001", "1002", "1003")
        client.notify("step.stdin", {"step": "a", "off": 0, "text": "\n", "eof": True})
        result = events_until(client, answer_to(request))[-1]["result"]
        same("the end", (7, False), (result["code"], result["output"]["truncated"]))
        sleepers_are()
        # cancelled, and killed by itself
        for end in (lambda: client.request("step.cancel", {"step": "b"}),
                    lambda: client.request("step.signal", {"step": "b", "signal": "KILL"})):
            request = client.request("step.run", shared("b", LEAVES + "echo up; exec sleep 1000"))
            events_until(client, method("step.output"))
            sleepers_are("1000", "1001", "1002", "1003")
            end()
            same("the signal", "KILL", events_until(client, answer_to(request))[-1]["result"]["signal"])
            sleepers_are()


def test_such_a_step_ends_with_its_worker_and_its_exec_with_it():
    for end in ("the worker", "the connection"):
        setup = Setup()
        client = setup.client
        client.request("step.run", shared("a", LEAVES + "echo up; exec sleep 1000"))
        events_until(client, method("step.output"))
        client.request("step.exec", {"step": "a", "exec": "e", "process": {
            "args": ["sh", "-c", "setsid sleep 1004 & exec sleep 1005"], "env": ["PATH=/bin"]}})
        sleepers_are("1000", "1001", "1002", "1003", "1004", "1005")
        if end == "the worker":
            setup.process.kill()
            setup.process.wait(DEADLINE)
            client.close()
        else:
            setup.stop()
        nothing_is_left()


def test_a_configuration_without_a_pid_namespace_leaves_nothing():
    config = config_of(["sh", "-c", "setsid sleep 1001 & exit 5"])
    config["linux"]["namespaces"] = [{"type": "mount"}]
    with Setup() as client:
        same("the code", 5, client.run({"step": "a", "oci": config}, timeout=DEADLINE)["code"])
        sleepers_are()


def test_a_killed_reaper_ends_the_step():
    with Setup() as client:
        request = client.request("step.run", shared("a", "echo up; exec sleep 1000"))
        events_until(client, method("step.output"))
        os.kill(pids_of("runbuild-reap")[0], signal.SIGKILL)
        same("the signal", "KILL", events_until(client, answer_to(request))[-1]["result"]["signal"])
        sleepers_are()


def test_a_signal_reaches_the_first_process_its_group_or_all():
    parts = "trap 'echo init' USR1; " \
        "sh -c 'trap \"echo child\" USR1; echo up; while :; do sleep 0.01; done' & " \
        "setsid sh -c 'trap \"echo session\" USR1; echo up; while :; do sleep 0.01; done' & " \
        "while :; do sleep 0.01; done"
    for kind in ("private", "host"):
        for target, told in (("init", {"init"}), ("group", {"init", "child"}), ("all", {"init", "child", "session"})):
            with Setup() as client:
                client.request("step.run", step("a", parts, pid=kind))
                text = ""
                while text.count("up") < 2:
                    text += events_until(client, method("step.output"))[-1]["params"]["text"]
                client.request("step.signal", {"step": "a", "signal": "USR1", "target": target})
                said = set()
                while said != told:
                    # and what the shells say of the sleep that they wait for
                    words = events_until(client, method("step.output"))[-1]["params"]["text"].split()
                    said |= {"init", "child", "session"} & set(words)
                    assert said <= told, f"{kind}, {target}: {said}"


# ---- cgroups ------------------------------------------------------------------------------------

GROUPS = pathlib.Path("/sys/fs/cgroup")


@contextlib.contextmanager
def group(name):
    if os.environ.get("RUNBUILD_SUITE_CGROUP") != "private":
        raise Skip("no cgroup v2 tree of the user's: the suite was not started by root, or there is no cgroup v2")
    path = GROUPS / name
    path.mkdir()
    try:
        yield path
    finally:
        path.rmdir()


def group_of(pid):
    return pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1].removeprefix("0::")


@only_on(*SOCKETS)
def test_a_step_is_born_into_the_cgroup_that_was_handed_over():
    with group("handed") as path, Setup() as client:
        assert "cgroup.fd" in features_of(client)
        for kind in ("private", "host"):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            request = client.request("step.run", step("a", "echo up; read x; exit 4", pid=kind, cgroup={"fd": 0},
                                                      io={"stdin": True}), fds=[fd])
            os.close(fd)
            started = events_until(client, method("step.started"))[-1]["params"]["pid"]
            same("its group", "/handed", group_of(started))
            events_until(client, method("step.output"))
            client.request("step.exec", {"step": "a", "exec": "e", "process": {"args": ["sleep", "1000"], "env": ["PATH=/bin"]}})
            further = events_until(client, method("step.started"))[-1]["params"]["pid"]
            same("that of a further process", "/handed", group_of(further))
            client.notify("step.stdin", {"step": "a", "off": 0, "text": "\n"})
            result = events_until(client, answer_to(request))[-1]["result"]
            same("the code", 4, result["code"])
            assert result["cgroup"] is not None and result["oom"] == {"killed": False, "count": 0}, result
            wait_until("nobody is in it", lambda: not (path / "cgroup.procs").read_text())


@only_on(*SOCKETS)
def test_a_cgroup_that_cannot_be_entered_is_refused():
    with group("outer") as path, Setup() as client:
        inner = path / "threaded"
        inner.mkdir()
        (inner / "cgroup.type").write_text("threaded")
        invalid = inner / "invalid"  # cgroups(7), "domain invalid"
        invalid.mkdir()
        for where, more, kind in ((str(invalid), {}, "cgroup"), ("/", {}, "bad-fds"), (str(path), {"parent": "/x"}, "invalid-params")):
            fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
            error = refusal(lambda f=fd, m=more: client.call("step.run", step("a", "true", cgroup={"fd": 0, **m}), fds=[f],
                                                             timeout=DEADLINE))
            same(f"the kind for {where} {more}", kind, error.kind)
            os.close(fd)
        invalid.rmdir()
        inner.rmdir()


def test_a_cgroup_is_made_where_it_was_asked_for_and_removed():
    with group("build") as path, Setup() as client:
        for cgroup, name in (({"parent": "/build"}, "/build/runbuild-a"), ({"path": "/build/of/mine"}, "/build/of/mine")):
            request = client.request("step.run", step("a", "echo up; read x; exit 0", cgroup=cgroup, io={"stdin": True}))
            pid = events_until(client, method("step.started"))[-1]["params"]["pid"]
            same("its group", name, group_of(pid))
            client.notify("step.stdin", {"step": "a", "off": 0, "text": "\n"})
            result = events_until(client, answer_to(request))[-1]["result"]
            assert isinstance(result["cgroup"], dict), result
            assert not (GROUPS / name[1:]).exists(), name
        (path / "of").rmdir()


def kill_with_its_guard(setup):
    """SIGKILL of the worker and of the process that would clear up after it: neither does anything more."""
    worker = worker_pid(setup)
    guards = [pid for name, pid in processes() if name == "runbuild-guard" and parent_of(pid) == worker]
    same("guards of the worker", 1, len(guards))
    os.kill(guards[0], signal.SIGSTOP)
    for pid in (worker, guards[0]):
        os.kill(pid, signal.SIGKILL)
    setup.process.wait(DEADLINE)
    wait_until("both are dead", lambda: not {worker, guards[0]} & {pid for _, pid in processes()})
    setup.client.close()


def parent_of(pid):
    return int(pathlib.Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[1])


def left_by_a_killed_worker(*cgroups):
    """A worker that was killed with its guard while a step was in each of these groups: their paths."""
    setup = Setup()
    for n, cgroup in enumerate(cgroups):
        setup.client.request("step.run", step(f"a{n}", "sleep 1000", cgroup=cgroup))
        events_until(setup.client, method("step.started"))
    kill_with_its_guard(setup)
    paths = [GROUPS / cgroup.get("path", f"{cgroup.get('parent')}/runbuild-a{n}")[1:] for n, cgroup in enumerate(cgroups)]
    for path in paths:
        wait_until(f"nobody is in {path}", lambda where=path: "populated 0" in (where / "cgroup.events").read_text())
    return paths


def a_new_worker_comes():
    with Setup() as client:
        same("the code", 0, client.run(step("next", "exit 0"), timeout=DEADLINE)["code"])


def test_groups_of_a_worker_killed_with_its_guard_are_removed_by_the_next():
    with group("build") as above:
        paths = left_by_a_killed_worker({"parent": "/build"}, {"path": "/build/of/mine"})
        a_new_worker_comes()
        same("groups that are left", [], [str(path) for path in paths if path.exists()])
        (above / "of").rmdir()
        nothing_is_left()


def test_a_group_that_somebody_is_in_is_left_until_they_are_gone():
    with group("build"):
        path = left_by_a_killed_worker({"parent": "/build"})[0]
        below = path / "below"
        below.mkdir()
        (path / "empty").mkdir()
        foreign = subprocess.Popen(["sleep", "1000"])
        (below / "cgroup.procs").write_text(str(foreign.pid))
        a_new_worker_comes()
        assert (path / "empty").exists() and foreign.poll() is None, "something was taken from a group in use"
        same("its group", "/build/runbuild-a0/below", group_of(foreign.pid))
        foreign.kill()
        foreign.wait()
        a_new_worker_comes()
        assert not path.exists(), path
        nothing_is_left()


def test_a_group_that_is_another_by_now_or_was_there_before_is_left():
    with group("build") as above:
        (above / "before").mkdir()
        remade, before = left_by_a_killed_worker({"parent": "/build"}, {"path": "/build/before"})
        remade.rmdir()
        remade.mkdir()
        a_new_worker_comes()
        assert remade.exists() and before.exists(), "a group that was not made for a step was removed"
        for path in (remade, before):
            path.rmdir()
        nothing_is_left()


def test_a_limit_that_cannot_be_set_is_told():
    with group("limited"), Setup() as client:
        if "memory" in (GROUPS / "cgroup.controllers").read_text().split():
            raise Skip("this tree has a memory controller: the limit can be set")
        request = client.request("step.run", step("a", "exit 0", cgroup={"parent": "/limited", "resources": {"memory": 1 << 26}}))
        events = events_until(client, answer_to(request))
        warnings = [m["params"] for m in events if m.get("method") == "step.warn"]
        same("the warnings", [("a", "cgroup")], [(w["step"], w["kind"]) for w in warnings])
        assert "memory" in warnings[0]["message"], warnings
        same("the code", 0, events[-1]["result"]["code"])


# ---- networks by slirp4netns --------------------------------------------------------------------

def has_slirp():
    return bool(shutil.which("slirp4netns")) and os.access("/dev/net/tun", os.R_OK | os.W_OK)


def needs_slirp():
    if not has_slirp():
        raise Skip("slirp4netns is missing, or /dev/net/tun cannot be opened")


def slirp_step(name, script, **net):
    """A step with a network of its own, and the machine's Python for what busybox lacks."""
    return step(name, script, net={"mode": "slirp", **net}, process={"env": ["PATH=/bin:/usr/bin"]},
                mounts=[{"dest": path, "src": path, "readonly": True} for path in ("/usr", "/lib", "/lib64")
                        if os.path.isdir(path)])


def output_of(client, request, code=0, **more):
    """Runs a step to its end; what it wrote to standard output and error."""
    chunks = []
    result = client.run(request, output=lambda _, data: chunks.append(data), timeout=DEADLINE, **more)
    text = b"".join(chunks).decode()
    assert result["code"] == code, f"{result['code']} {result['signal']}: {text}"
    return text


def test_a_network_of_the_step_is_as_it_was_asked_for():
    needs_slirp()
    look = "cat /sys/class/net/tap0/mtu; ip -4 -o addr show tap0; cat /etc/resolv.conf"
    with Setup() as client:
        text = output_of(client, slirp_step("a", look, mtu=1400, cidr="10.77.0.0/24", dns="none"))
        same("the MTU", "1400", text.splitlines()[0])
        assert "10.77.0.100/24" in text, text
        assert "10.77.0.3" not in text, f"a name server that answers nothing: {text}"
        text = output_of(client, slirp_step("b", look, cidr="10.77.0.0/24"))
        same("the MTU", "65520", text.splitlines()[0])
        text = output_of(client, slirp_step("c", "cat /etc/resolv.conf", dns="192.0.2.53"))
        same("its name server", "nameserver 192.0.2.53\n", text)
        # one that it cannot reach
        text = output_of(client, slirp_step("d", "cat /etc/resolv.conf", dns="127.0.0.53"))
        same("its name server", "nameserver 10.0.2.3\n", text)


def test_the_gateway_is_the_hosts_loopback_only_when_it_was_asked_for():
    needs_slirp()
    with Setup() as client, socket.create_server(("127.0.0.1", 0)) as listener:
        script = f"nc -w 3 10.0.2.2 {listener.getsockname()[1]} </dev/null 2>/dev/null && echo reached || echo closed"
        same("by default", "closed\n", output_of(client, slirp_step("a", script)))
        request = client.request("step.run", slirp_step("b", script, allowHostLoopback=True))
        listener.settimeout(DEADLINE)
        listener.accept()[0].close()
        events = events_until(client, answer_to(request))
        assert [m for m in events if m.get("method") == "step.output" and m["params"]["text"] == "reached\n"], events


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_published_ports_lead_into_the_step_and_end_with_it():
    needs_slirp()
    serve = "import select, socket\n" \
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('', 53)); t = socket.create_server(('', 80))\n" \
        "while True:\n" \
        "  for s in select.select([t, u], [], [])[0]:\n" \
        "    if s is t: c = t.accept()[0]; c.sendall(b'over-tcp'); c.close()\n" \
        "    else: u.sendto(*u.recvfrom(99))\n"
    tcp, udp = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    ports = [{"parentIP": "127.0.0.1", "parentPort": tcp, "childPort": 80},
             {"proto": "udp", "parentIP": "127.0.0.1", "parentPort": udp, "childIP": "10.0.2.100", "childPort": 53}]
    with Setup() as client:
        # of datagrams slirp4netns answers the host's own clients only over the gateway
        server = slirp_step("a", "", ports=ports, allowHostLoopback=True)
        server["process"]["args"] = ["/usr/bin/python3", "-c", serve]
        request = client.request("step.run", server)
        events_until(client, method("step.started"))

        def answered_over(ask):
            with contextlib.suppress(OSError):
                return ask()
            return False

        def ask_tcp():
            with socket.create_connection(("127.0.0.1", tcp), timeout=1) as peer:
                return peer.recv(64) == b"over-tcp"

        def ask_udp():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.settimeout(1)
                peer.sendto(b"over-udp", ("127.0.0.1", udp))
                return peer.recv(64) == b"over-udp"

        wait_until("an answer over tcp", lambda: answered_over(ask_tcp))
        wait_until("an answer over udp", lambda: answered_over(ask_udp))
        # taken by that step
        error = refusal(lambda: client.run(slirp_step("b", "true", ports=ports[:1]), timeout=DEADLINE))
        same("a taken port", ("net", "RB0607", "/net/ports/0"), (error.kind, error.data["rb"], error.data["path"]))
        client.call("step.cancel", {"step": "a"})
        events_until(client, answer_to(request))
        with socket.create_server(("127.0.0.1", tcp)):
            pass  # nobody listens there any more


def test_networks_that_cannot_be_are_refused_with_the_member():
    port = {"parentPort": 1, "childPort": 1}
    wrong = {
        "/net/mtu": [{"mtu": 67}, {"mtu": 65522}, {"mode": "none", "mtu": 1500}],
        "/net/dns": [{"dns": "name.example"}, {"dns": "::1"}, {"dns": "192.0.2.1", "resolv": {}}],
        "/net/ports/0": [{"ports": [{"parentPort": 1}]}],
        "/net/ports/0/parentPort": [{"ports": [{**port, "parentPort": 0}]}, {"ports": [{**port, "parentPort": 65536}]}],
        "/net/ports/0/parentIP": [{"ports": [{**port, "parentIP": "::1"}]}],
        "/net/ports/0/proto": [{"ports": [{**port, "proto": "sctp"}]}],
        "/net/ports/1": [{"ports": [port, {**port, "childPort": 2}]}],
        "/net/ports": [{"mode": "host", "ports": [port]}, {"ports": [{**port, "parentPort": n + 1} for n in range(65)]}],
    }
    with Setup() as client:
        for path, nets in wrong.items():
            for net in nets:
                more = {"resolv": net.pop("resolv")} if "resolv" in net else {}
                error = refusal(lambda n=net, m=more: client.run(step("s", "true", net={"mode": "slirp", **n}, **m)))
                same(f"the error of {net}", ("invalid-params", path), (error.kind, error.data.get("path")))
        error = refusal(lambda: client.run(step("s", "true", net={"mode": "slirp", "ports": [{**port, "hostPort": 1}]})))
        same("an unknown member", ["/net/ports/0/hostPort"], error.data["members"])
        if shutil.which("slirp4netns") and os.access("/dev/net/tun", os.R_OK | os.W_OK):
            error = refusal(lambda: client.run(step("s", "true", net={"mode": "slirp", "cidr": "10.0.0.0/30"})))
            same("no room", ("net", "/net/cidr"), (error.kind, error.data.get("path")))


# ---- lent networks ------------------------------------------------------------------------------

def take(client, net):
    """A network namespace and the name of its lease."""
    request = client.request("warm.take", {"net": net})
    while (message := client.receive(DEADLINE)).get("id") != request:
        pass
    assert "error" not in message, message
    return message["_fds"][message["result"]["netnsFd"]], message["result"]["lease"]


def slirps():
    return set(pids_of("slirp4netns"))


@only_on("fd")
def test_networks_are_lent_once_and_end_with_the_connection():
    needs_slirp()
    look = "readlink /proc/self/ns/net; ip -4 -o addr"
    with Spawned("--lend", "1") as client:
        assert "warm.take" in client.info["features"]
        seen, leases = [], set()
        for net, address in (("none", "127.0.0.1"), ("slirp", "10.0.2.100"), ("none", "127.0.0.1")):
            fd, lease = take(client, net)
            request = client.request("step.run", step("in", look, net={"mode": "netns", "netnsFd": 0}), fds=[fd])
            text = "".join(m["params"]["text"] for m in events_until(client, answer_to(request))
                           if m.get("method") == "step.output")
            assert address in text, (net, text)
            same("the namespace", f"net:[{os.fstat(fd).st_ino}]", text.splitlines()[0])
            seen.append(fd)
            leases.add(lease)
        same("all different", 3, len({os.fstat(fd).st_ino for fd in seen}))
        same("the leases", 3, len(leases))
        wait_until("another one is ready", lambda: len(slirps()) == 2)
        # what the lent one was found by is gone: it was closed here, and is open nowhere else
        for fd in seen:
            os.close(fd)
    wait_until("no network is left", lambda: not slirps())


@only_on("fd")
def test_a_lent_network_reaches_no_loopback_of_the_host():
    needs_slirp()
    with socket.create_server(("127.0.0.1", 0)) as listener, Spawned("--lend", "1") as client:
        fd, _ = take(client, "slirp")
        script = f"nc -w 3 10.0.2.2 {listener.getsockname()[1]} </dev/null 2>/dev/null || echo closed"
        request = client.request("step.run", step("a", script, net={"mode": "netns", "netnsFd": 0}), fds=[fd])
        text = "".join(m["params"]["text"] for m in events_until(client, answer_to(request)) if m.get("method") == "step.output")
        same("the host's loopback", "closed\n", text)
        os.close(fd)


@only_on("fd")
def test_a_network_that_nobody_takes_is_not_kept_for_long():
    needs_slirp()
    with Spawned("--lend", "2", "--lend-age", "3") as client:
        fd, _ = take(client, "slirp")
        # the next ones may have begun by now: whose is whose cannot be told
        wait_until("two more are ready", lambda: len(slirps()) == 3)
        wait_until("they are gone, since nobody asks any more", lambda: len(slirps()) == 1)
        os.close(fd)


def test_networks_are_lent_only_when_the_worker_was_told_to():
    with Setup() as client:
        assert "warm.take" not in features_of(client)
        error = refusal(lambda: client.call("warm.take", {"net": "none"}))
        same("the kind", "unsupported", error.kind)
        error = refusal(lambda: client.call("warm.take", {"net": "none", "for": "me"}))
        same("the kind", "unknown-member", error.kind)
        assert "cdi" not in features_of(client)
        error = refusal(lambda: client.run(step("c", "true", cdi=["vendor/class=name"])))
        same("a device by name", ("unsupported", "/cdi"), (error.kind, error.data["path"]))
    with Spawned("--lend", "1") as client:
        same("another kind", "invalid-params", refusal(lambda: client.call("warm.take", {"net": "host"})).kind)
        same("none at all", "invalid-params", refusal(lambda: client.call("warm.take", {})).kind)


# ---- bad input ----------------------------------------------------------------------------------

BAD_LINES = [
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":"\\u0000"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":"\\ud800"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":"\\udc00\\ud800"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":"\xc0\x80"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":"\xed\xa0\x80"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":"\xf4\x90\x80\x80"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":"\xff\xfe"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":"a\x00b"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":' + b"[" * 40 + b"]" * 40 + b"}}",
    b'{"jsonrpc":"2.0","id":1,"method":"ping"} trailing',
    b'{"jsonrpc":"2.0","id":1,"method":"ping"}{}',
    b'{"jsonrpc":"2.0",/*c*/"id":1,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":01,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x-a":1,"x-a":2}}',
    b"\xef\xbb\xbf{}",
]


def test_lines_that_are_not_json_by_the_book_are_refused():
    with Setup() as client:
        for line in BAD_LINES:
            client.send_bytes(line + b"\n")
            message = client.receive(DEADLINE)
            assert message and "error" in message, line
            same(f"the code for {line}", -32700, message["error"]["code"])
        same("and then", {}, client.call("ping"))


def test_after_32_bad_lines_the_connection_is_closed():
    with Setup() as client:
        client.send_bytes(b"x\n" * 40)
        for _ in range(32):
            assert "error" in client.receive(DEADLINE)
        try:
            client.receive(DEADLINE)
        except EOFError:
            return
        raise AssertionError("the connection is still open")


def test_a_line_of_more_than_4_mib_ends_the_connection():
    with Setup() as client:
        start = b'{"jsonrpc":"2.0","id":1,"method":"ping","x-pad":"'
        # not a byte more: with something unread behind it the kernel would reset the connection
        client.send_bytes(start + b"a" * (client.info["limits"]["line"] + 1 - len(start)))
        closed_with(client, "line-too-long")


def test_a_line_of_nearly_4_mib_is_taken():
    with Setup() as client:
        client.send_bytes(b'{"jsonrpc":"2.0","id":9,"method":"ping","x-pad":"' + b"a" * ((4 << 20) - 100) + b'"}\n')
        same("the answer", 9, client.receive(DEADLINE)["id"])


def test_a_duplicate_member_changes_nothing():
    with Setup() as client:
        client.send_bytes(b'{"jsonrpc":"2.0","id":3,"method":"ping","method":"shutdown","params":{"mode":"now"}}\n')
        same("the code", -32700, client.receive(DEADLINE)["error"]["code"])
        same("and then", {}, client.call("ping"))


@only_on("fd")
def test_without_hello_the_connection_ends_after_10_seconds():
    with Setup(hello=False) as client:
        began = time.monotonic()
        closed_with(client, "no-hello")
        assert 9 < time.monotonic() - began < 20


@only_on("listen")
def test_bad_input_of_one_connection_does_not_disturb_another():
    setup = Setup()
    with setup as client:
        request = client.request("step.run", step("a", "echo up; sleep 0.3; exit 3"))
        events_until(client, method("step.output"))
        other = Client.connect(setup.path)
        try:
            other.send_bytes(b"x\n" * 40)
        except (BrokenPipeError, ConnectionResetError):
            pass
        other.close()
        same("the code", 3, events_until(client, answer_to(request))[-1]["result"]["code"])


@only_on("listen")
def test_a_peer_cannot_touch_the_steps_of_another():
    setup = Setup()
    with setup as client:
        client.request("step.run", step("a", "exec sleep 1000"))
        events_until(client, method("step.started"))
        with Client.connect(setup.path) as other:
            error = refusal(lambda: other.call("step.signal", {"step": "a", "signal": "KILL"}))
            same("the kind", "no-such-step", error.kind)
            listed = other.call("step.list")["steps"]
            same("the list", [("a", False)], [(s["step"], s["owner"]) for s in listed])


@only_on("listen")
def test_the_end_of_one_connection_ends_its_steps_only():
    setup = Setup()
    with setup as client:
        request = client.request("step.run", step("mine", "echo up; read x; exit 2", io={"stdin": True}))
        events_until(client, method("step.output"))
        other = Client.connect(setup.path)
        other.request("step.run", step("other", "exec sleep 1000"))
        events_until(other, method("step.started"))
        other.close()
        wait_until("the other step is gone", lambda: len(client.call("step.list")["steps"]) == 1)
        client.notify("step.stdin", {"step": "mine", "off": 0, "text": "\n"})
        same("the code", 2, events_until(client, answer_to(request))[-1]["result"]["code"])


@only_on("listen")
def test_the_socket_of_a_killed_worker_is_replaced():
    path = Setup.scratch / "tmp" / "stale"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    before = path.stat().st_ino
    server = subprocess.Popen([RUNBUILD, "worker", "--listen", str(path)], stdin=subprocess.DEVNULL)
    wait_until("it is replaced", lambda: path.exists() and path.stat().st_ino != before)
    same("the mode", 0o600, path.stat().st_mode & 0o7777)
    with Client.connect(str(path)) as client:
        same("the answer", {}, client.call("ping"))
    server.terminate()
    same("the status", 0, server.wait(DEADLINE))
    assert not path.exists()


@only_on("listen")
def test_dial_bridges_standard_streams_and_the_socket():
    setup = Setup()
    with setup:
        lines = (b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"versions":[1],"onEof":"drain"}}\n' +
                 json.dumps({"jsonrpc": "2.0", "id": 2, "method": "step.run",
                             "params": step("d", "echo over dial")}).encode() + b"\n")
        done = subprocess.run([RUNBUILD, "dial", setup.path], input=lines, stdout=subprocess.PIPE,
                              timeout=DEADLINE, check=True)
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        same("the last answer", (2, 0), (messages[-1]["id"], messages[-1]["result"]["code"]))


# ---- the end ------------------------------------------------------------------------------------

@only_on("stdio")
def test_with_on_eof_drain_running_steps_finish():
    text = b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"versions":[1],"onEof":"drain"}}\n' + \
        json.dumps({"jsonrpc": "2.0", "id": 2, "method": "step.run",
                    "params": step("a", "sleep 0.2; echo end")}).encode() + b"\n"
    done = subprocess.run([RUNBUILD, "worker", "--stdio"], input=text, stdout=subprocess.PIPE,
                          timeout=DEADLINE, check=True)
    same("the last answer", 0, json.loads(done.stdout.splitlines()[-1])["result"]["code"])


@only_on("stdio")
def test_a_peer_that_reads_no_more_ends_the_steps_also_when_they_would_drain():
    setup = Setup(onEof="drain")
    setup.client.request("step.run", step("a", "echo up; exec sleep 1000"))
    events_until(setup.client, method("step.output"))
    process = setup.client.process
    process.stdin.close()
    process.stdout.close()
    process.wait(DEADLINE)
    nothing_is_left()


def test_each_worker_has_a_name_of_its_own():
    names = []
    for _ in range(2):
        with Setup() as client:
            names.append(client.info["workerId"])
            same("which boot it is", pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip(), client.info["bootId"])
    assert names[0] != names[1], names


def test_a_snapshot_is_mounted_by_the_driver_that_was_asked_for():
    with Setup() as client:
        drivers = ["native"]
        if shutil.which("fuse-overlayfs") and os.access("/dev/fuse", os.R_OK | os.W_OK):
            drivers += ["fuse", "fuse-path"]
        for driver in drivers:
            for options in ([], ["volatile"]) if driver == "native" else ([],):
                with layers() as snapshot:
                    request = client.request("step.run", {**step("a", "echo x >/new; grep ' / ' /proc/mounts"), "rootfs": {
                        "snapshot": {**snapshot, "driver": driver, "options": options}}})
                    events = events_until(client, answer_to(request))
                    result = events[-1]["result"]
                    text = "".join(m["params"].get("text", "") for m in events if m.get("method") == "step.output")
                    same(f"the driver {driver}", (driver[:4], snapshot["upper"]), (result["snapshot"]["driver"][:4], result["snapshot"]["upper"]))
                    same("the file system", "overlay" if driver == "native" else "fuse.fuse-overlayfs", text.split()[2])
                    # "fsync=volatile" for newer kernels
                    same(f"the option {options}", bool(options), bool(re.search(r"[,=]volatile\b", text)))
                    same("what is written", ["new"], os.listdir(snapshot["upper"]))
                    same("the slow one is told", ["snapshot"] * (driver != "native"),
                         [m["params"]["kind"] for m in events if m.get("method") == "step.warn"])
        result = client.run({**step("b", "exit 0"), "rootfs": {"snapshot": {"lower": [base()], "driver": "bind"}}}, timeout=DEADLINE)
        same("a single layer", "bind", result["snapshot"]["driver"])


def test_shutdown_drains_or_ends_now():
    setup = Setup()
    with setup as client:
        request = client.request("step.run", step("a", "echo up; sleep 0.3; exit 3"))
        events_until(client, method("step.output"))
        client.call("shutdown", {"mode": "drain"})
        error = refusal(lambda: client.call("step.run", step("b", "true")))
        same("the kind", "shutting-down", error.kind)
        same("the code", 3, events_until(client, answer_to(request))[-1]["result"]["code"])
        same("the status", 0, setup.process.wait(DEADLINE))
    setup = Setup()
    with setup as client:
        request = client.request("step.run", step("a", "exec sleep 1000"))
        events_until(client, method("step.started"))
        client.call("shutdown", {"mode": "now"})
        same("the signal", "KILL", events_until(client, answer_to(request))[-1]["result"]["signal"])
        same("the status", 0, setup.process.wait(DEADLINE))


def test_sigterm_ends_running_steps_and_the_worker():
    setup = Setup()
    with setup as client:
        request = client.request("step.run", step("a", "exec sleep 1000"))
        events_until(client, method("step.started"))
        setup.process.terminate()
        result = events_until(client, answer_to(request))[-1]["result"]
        same("the end", ("KILL", True, "shutdown"), (result["signal"], result["cancelled"], result["reason"]))
        same("the status", 0, setup.process.wait(DEADLINE))


def test_nothing_grows_over_many_steps():
    setup = Setup()
    with setup as client:
        for n in range(30):
            client.run(step(f"w{n}", "exit 0"), timeout=DEADLINE)
        pid = worker_pid(setup)
        wait_until("processes wait", lambda: client.call("stats")["warm"] == 2)
        before = (open_fds(pid), client.call("stats")["rssPages"])
        for n in range(300):
            client.run(step(f"n{n}", "exit 0"), timeout=DEADLINE)
        wait_until("processes wait", lambda: client.call("stats")["warm"] == 2)
        after = (open_fds(pid), client.call("stats")["rssPages"])
        same("open descriptors", before[0], after[0])
        assert after[1] - before[1] <= 256, f"resident pages: {before[1]} -> {after[1]}"


def test_an_informed_peer_is_told_of_steps_and_warnings():
    with Setup() as client:
        client.call("log.level", {"level": "info", "notify": True})
        request = client.request("step.run", step("told", "exit 0", traceparent="00-1-2-03"))
        events = events_until(client, answer_to(request))
        logs = [e["params"] for e in events if e.get("method") == "log"]
        same("what was told", [{"level": "info", "message": "step told: started 00-1-2-03"},
                               {"level": "info", "message": "step told: ended 00-1-2-03"}], logs)
        client.notify("step.ack", {"fd": 1, "off": 0})
        message = client.receive(DEADLINE)
        same("a warning", ("log", "warn"), (message["method"], message["params"]["level"]))
        client.call("log.level", {"level": "warn", "notify": True})
        request = client.request("step.run", step("quiet", "exit 0"))
        assert not [e for e in events_until(client, answer_to(request)) if e.get("method") == "log"]
        same("a wrong level", "invalid-params", refusal(lambda: client.call("log.level", {"level": "loud"})).kind)


def test_a_record_is_written_and_named_in_the_result():
    state = pathlib.Path(os.environ["HOME"], ".local/state/runbuild/records")
    with Setup() as client:
        good = client.run(step("good", "exit 0", record="failure"), timeout=DEADLINE)
        assert "record" not in good, good
        secret = step("bad", "exit 4", record="failure", process={"env": ["PATH=/bin", "TOKEN=hunter2"]})
        names = [client.run(secret, timeout=DEADLINE)["record"] for _ in range(2)]
        assert names[0] != names[1], names
        text = (state / names[0] / "step.json").read_text()
        same("its step", "bad", json.loads(text)["step"])
        assert "hunter2" not in text, text
        same("its result", 4, json.loads((state / names[0] / "result.json").read_text())["code"])
        config = hooks_into("hunter3", "prestart", "exit 0")
        config["process"] = {**config["process"], "args": ["sh", "-c", "exit 4"], "env": ["PATH=/bin", "TOKEN=hunter2"]}
        names.append(client.run({"step": "oci", "record": "always", "oci": config}, timeout=DEADLINE)["record"])
        recorded = json.loads((state / names[2] / "step.json").read_text())["oci"]
        assert "hunter" not in json.dumps(recorded), recorded
        same("the rest of a configuration", {**config, "process": {**config["process"], "env": 0}, "hooks": 0},
             {**recorded, "process": {**recorded["process"], "env": 0}, "hooks": 0})
    for name in names:
        subprocess.run([RUNBUILD, "records", "rm", name], check=True)
        assert not (state / name).exists()


RECORDS = pathlib.Path(os.environ["HOME"], ".local/state/runbuild/records")


@contextlib.contextmanager
def layers(*names):
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top:
        for name in ("upper", "work"):
            os.mkdir(os.path.join(top, name))
        yield {"lower": [base()], "upper": os.path.join(top, "upper"), "work": os.path.join(top, "work")}


def test_a_record_keeps_what_the_step_has_left():
    """A copy, so that neither the next step on the directory nor "keepUpper" changes the evidence."""
    with layers() as snapshot, Setup() as client:
        def on_it(name, script, **more):
            return {**step(name, script), "rootfs": {"snapshot": snapshot}, **more}

        result = client.run(on_it("bad", "echo evidence >/file; exit 4", record="failure",
                                  onExit={"keepUpper": "never", "changes": True}), timeout=DEADLINE)
        same("its changes", ["file"], [change["path"] for change in result["changes"]])
        same("its upper directory", [], os.listdir(snapshot["upper"]))
        client.run(on_it("next", "echo other >/file"), timeout=DEADLINE)
        copy = RECORDS / result["record"]
        same("what is kept", ["result.json", "step.json", "upper"], sorted(os.listdir(copy)))
        same("the copy", "evidence\n", (copy / "upper" / "file").read_text())
        replay = subprocess.run([RUNBUILD, "replay", "--print", result["record"]], stdout=subprocess.PIPE, check=True)
        same("the replay's layers", [str(copy / "upper"), base()],
             json.loads(replay.stdout)["rootfs"]["snapshot"]["lower"])
        # more than is kept: a hole takes no room, so the marks of 256 MiB are written
        big = client.request("step.run", on_it("big", "dd if=/dev/zero of=/big bs=1M count=257 2>/dev/null", record="always"))
        events = events_until(client, answer_to(big))
        name = events[-1]["result"]["record"]
        same("the warnings", ["record"], [m["params"]["kind"] for m in events if m.get("method") == "step.warn"])
        same("what is kept", ["result.json", "step.json"], sorted(os.listdir(RECORDS / name)))
        for each in (result["record"], name):
            subprocess.run([RUNBUILD, "records", "rm", each], check=True)


def test_records_of_a_worker_make_room_for_new_ones():
    with Setup() as client:
        names = [client.run(step("a", "exit 4", record="always"), timeout=DEADLINE)["record"] for _ in range(22)]
        same("how many are left", names[-20:], sorted(os.listdir(RECORDS), key=names.index))
    subprocess.run([RUNBUILD, "records", "prune", "--keep", "0"], check=True)
    same("what is left", [], os.listdir(RECORDS))


def test_a_copy_for_a_record_keeps_nobody_waiting_and_ends_with_its_worker():
    for ending in ("close", "kill"):
        with layers() as snapshot:
            for number in range(4000):
                pathlib.Path(snapshot["upper"], str(number)).write_bytes(b"x" * 8192)
            setup = Setup()
            with setup as client:
                client.request("step.run", {**step("a", "true"), "rootfs": {"snapshot": snapshot}, "record": "always"})
                partial = lambda: list(RECORDS.glob("*/partial"))
                # it may be done before anybody looks
                wait_until("the copy is being made", lambda: partial() or list(RECORDS.glob("*/upper")))
                if partial():
                    same("a step meanwhile", 0, client.run(step("b", "true"), timeout=DEADLINE)["code"])
                if ending == "kill":
                    setup.process.kill()
            nothing_is_left()
            if ending == "close":
                same("what is left of the copy", [], partial())
        subprocess.run([RUNBUILD, "records", "prune", "--keep", "0"], check=True)


@only_on(*SOCKETS)
def test_a_terminal_of_the_peer_controls_the_step():
    master, slave = pty.openpty()
    with Setup() as client:
        request = client.request("step.run", step("console", "tty; read line; echo got $line; stty size < /dev/tty",
                                                  io={"consoleFd": 0}), fds=[slave])
        os.close(slave)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 11, 22, 0, 0))
        os.write(master, b"word\n")
        result = events_until(client, answer_to(request))[-1]["result"]
        same("the code", 0, result["code"])
        text = b""
        try:
            while chunk := os.read(master, 4096):
                text += chunk
        except OSError:
            pass  # EIO: nobody has the other side any more
        assert b"got word" in text and b"11 22" in text, text
        reader, writer = os.pipe()
        request = client.request("step.run", step("pipe", "exit 0", io={"consoleFd": 0}), fds=[reader])
        os.close(reader)
        os.close(writer)
        same("no terminal", "bad-fds", events_until(client, answer_to(request))[-1]["error"]["data"]["kind"])
    os.close(master)


def test_a_selector_leads_into_a_snapshot_and_not_out_of_it():
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top:
        lower = pathlib.Path(top, "lower", "a", "b")
        lower.mkdir(parents=True)
        (lower / "file").write_text("inside")
        (lower / "out").symlink_to("/../../../etc")
        def mounted(selector):
            return step("sel", "cat /m/file", mounts=[
                {"dest": "/m", "snapshot": {"lower": [f"{top}/lower"], "driver": "native"}, "selector": selector}])
        with Setup() as client:
            chunks = []
            result = client.run(mounted("a/b"), output=lambda _, data: chunks.append(data), timeout=DEADLINE)
            same("what is read", (0, b"inside"), (result["code"], b"".join(chunks)))
            for selector in ("a/missing", "a/b/out"):
                same(selector, "mount", refusal(lambda path=selector: client.run(mounted(path), timeout=DEADLINE)).kind)


def test_an_id_mapped_mount_shows_other_owners_or_says_why_not():
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top:
        maps = [{"containerID": 0, "hostID": 5, "size": 1}]
        mount = {"dest": "/m", "src": top, "idmap": {"uidMappings": maps, "gidMappings": maps}}
        with Setup() as client:
            for broken in ({"uidMappings": maps}, {}):
                same("half a map", "invalid-params", refusal(lambda part=broken: client.run(
                    step("half", "exit 0", mounts=[{**mount, "idmap": part}]), timeout=DEADLINE)).kind)
            same("a descriptor's", "invalid-params", refusal(lambda: client.run(
                step("sel", "exit 0", mounts=[{**mount, "selector": "x"}]), timeout=DEADLINE)).kind)
            # an ordinary user's worker has no privilege over the host's file system
            error = refusal(lambda: client.run(step("map", "exit 0", mounts=[mount]), timeout=DEADLINE))
            same("the error", ("mount", "/mounts/0"), (error.kind, error.data.get("path")))
            # over one of its own it has
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top], check=True)
            try:
                pathlib.Path(top, "file").touch()
                chunks = []
                result = client.run(step("mapped", "stat -c %u:%g /m/file", mounts=[mount]),
                                    output=lambda _, data: chunks.append(data), timeout=DEADLINE)
            finally:
                subprocess.run(["umount", top], check=True)
            same("the owner", (0, b"5:5\n"), (result["code"], b"".join(chunks)))


class Spawned:
    """A worker on a socket pair, with options."""

    def __init__(self, *options):
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen([RUNBUILD, "worker", "--fd", str(theirs.fileno()), *options],
                                        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self.client = Client(ours.fileno(), ours.fileno(), ours, self.process)
        self.client.hello()

    def __enter__(self):
        return self.client

    def __exit__(self, *_):
        self.client.close()


def make_warm(client, request):
    """Runs it until a process waits for the next one of its kind."""
    client.run(request, timeout=DEADLINE)
    wait_until("a process waits", lambda: client.call("stats")["warm"] > 0)
    # it is counted from its birth on; another round gives it the time to be through
    client.run(request, timeout=DEADLINE)
    wait_until("a process waits", lambda: client.call("stats")["warm"] > 0)


VIEW = r"""
exec 2>&1
cut -d' ' -f 4- /proc/self/mountinfo |
    sed 's/[0-9]* - /- /; s/size=[0-9]*k,*//; s/inode64//; s/nr_inodes=[0-9]*k*,*//; s/@run[^/]*//' | grep -v '^[^ ]* / ' | sort
grep -E -v -i 'pid|ctxt|^vm|^rss|threads|allowed' /proc/self/status
ls -l /dev /dev/pts /proc/sys/kernel | sed 's/[A-Z][a-z][a-z] .*:[0-9][0-9]//'; id; env; pwd; umask; hostname
ls -l /proc/self/fd | wc -l; echo x > /proc/sysrq-trigger; echo $?; head -c 1 /proc/kcore | wc -c; touch /data/new; echo $?
cat /cache/file; ls / /data; ls /.. | wc -l; for ns in mnt pid net ipc uts cgroup; do [ -e /proc/self/ns/$ns ] && echo $ns; done
"""


def view_of(client, warm, **more):
    with tempfile.TemporaryDirectory(dir=Setup.scratch / "s") as top:
        pathlib.Path(top, "file").write_text("content\n")
        pathlib.Path(top, "data").mkdir()
        request = step("view", VIEW, hostname="inside",
                       mounts=[{"dest": "/cache", "src": top, "readonly": True},
                               {"dest": "/data", "src": top + "/data"}, {"dest": "/tmp", "tmpfs": {}}],
                       hosts=[{"host": "other", "ip": "192.0.2.1"}], **more)
        if warm:
            make_warm(client, request)
        chunks = []
        result = client.run(request, output=lambda _, data: chunks.append(data), timeout=DEADLINE)
        return result["code"], b"".join(chunks).decode().replace(top, "TOP")


def test_a_waiting_process_makes_the_same_sandbox():
    for more in ({}, {"process": {"user": "7:8", "cwd": "/tmp/x"}}, {"net": {"mode": "host"}},
                 {"rootfs": {"path": base(), "readonly": True}}, {"security": {"mode": "insecure"}}):
        with Spawned("--warm", "0") as client:
            cold = view_of(client, False, **json.loads(json.dumps(more)))
            same("no process waits", 0, client.call("stats")["warm"])
        with Spawned() as client:
            warm = view_of(client, True, **json.loads(json.dumps(more)))
        if cold != warm:
            lines = list(difflib.unified_diff(cold[1].splitlines(), warm[1].splitlines(), "cold", "warm", "", "", 0, ""))
            raise AssertionError(f"{more}: {cold[0]} and {warm[0]}\n" + "\n".join(lines))


def waiting(setup):
    """Pids of the processes that wait for steps: children of the worker beside its guard and their maker."""
    worker = worker_pid(setup)
    found = []
    for _, pid in processes():
        try:
            text = pathlib.Path("/proc", str(pid), "stat").read_text()
            name, rest = text.split("(", 1)[1].rsplit(")", 1)
            if int(rest.split()[1]) == worker and name not in ("runbuild-guard", "runbuild-maker"):
                found.append(pid)
        except OSError:
            pass
    return found


def some_waiting(setup):
    wait_until("a process waits", lambda: waiting(setup))
    return waiting(setup)


def test_a_waiting_process_that_was_killed_is_replaced():
    setup = Setup()
    with setup as client:
        make_warm(client, step("a", "exit 0"))
        for pid in some_waiting(setup):
            os.kill(pid, signal.SIGKILL)
            # a zombie, until the worker looks for it
            wait_until("it is dead", lambda number=pid: number not in [p for _, p in processes()])
        for n in range(4):
            same("the code", 3, client.run(step(f"b{n}", "exit 3"), timeout=DEADLINE)["code"])


def maker_now():
    """A child has the maker's name until it gives itself its own."""
    wait_until("there is one maker", lambda: len(pids_of("runbuild-maker")) == 1)
    return pids_of("runbuild-maker")[0]


def zombies(setup):
    states = []
    for pid in pathlib.Path(f"/proc/{worker_pid(setup)}/task/{worker_pid(setup)}/children").read_text().split():
        try:
            states.append(pathlib.Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[0])
        except OSError:
            pass
    return states.count("Z")


def test_a_killed_maker_is_replaced_until_it_is_given_up():
    setup = Setup()
    with setup as client:
        for n in range(4):
            make_warm(client, step("a", "exit 0"))
            maker = maker_now()
            os.kill(maker, signal.SIGKILL)
            wait_until("it is gone", lambda number=maker: number not in pids_of("runbuild-maker"))
            for m in range(4):  # with what still waits, and without
                same("the code", 3, client.run(step(f"b{m}", "exit 3"), timeout=DEADLINE)["code"])
        same("makers after the fourth death", [], pids_of("runbuild-maker"))
        same("waiting processes", 0, client.call("stats")["warm"])
        wait_until("nothing is left to be reaped", lambda: zombies(setup) == 0)


def test_what_a_killed_maker_has_not_handed_over_is_reaped():
    setup = Setup()
    with setup as client:
        make_warm(client, step("a", "exit 0"))
        maker = maker_now()
        # the first message of each child is the guard's, the second the worker's
        tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(maker), "-e", "trace=sendmsg",
                                   "-e", "inject=sendmsg:signal=KILL:when=2"], stdin=subprocess.DEVNULL)
        wait_until("it is traced", lambda: "TracerPid:\t0\n" not in pathlib.Path(f"/proc/{maker}/status").read_text())
        client.run(step("b", "exit 0"), timeout=DEADLINE)
        wait_until("it is gone", lambda: maker not in pids_of("runbuild-maker"))
        tracer.wait(DEADLINE)
        wait_until("another one is there", lambda: pids_of("runbuild-maker"))
        wait_until("nothing is left to be reaped", lambda: zombies(setup) == 0)
        make_warm(client, step("a", "exit 0"))


def test_a_waiting_process_ends_with_a_killed_worker():
    setup = Setup()
    client = setup.client
    make_warm(client, step("a", "exit 0"))
    some_waiting(setup)
    os.kill(worker_pid(setup), signal.SIGKILL)
    setup.process.wait(DEADLINE)
    client.close()
    nothing_is_left()


def test_a_waiting_process_holds_no_descriptor_of_others():
    setup = Setup()
    with setup as client:
        make_warm(client, step("a", "exit 0"))
        for pid in some_waiting(setup):
            wait_until("only 0, 1, 2 and the handshake are open", lambda number=pid: len(os.listdir(f"/proc/{number}/fd")) == 4)
            for fd in os.listdir(f"/proc/{pid}/fd"):
                where = os.readlink(f"/proc/{pid}/fd/{fd}")
                assert where == "/dev/null" or where.startswith("socket:"), f"{fd}: {where}"


def below_the_root(pid):
    """What a mount namespace shows, and what when its topmost root has been taken away."""
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        seen = []
        for undo in (lambda: 0, lambda: libc.umount2(b"/", 2)):  # MNT_DETACH
            if undo() or libc.setns(namespace, 0x20000):  # CLONE_NEWNS
                os._exit(1)
            seen.append(sorted(os.path.join(path, name) for path, dirs, files in os.walk("/") for name in dirs + files))
        with os.fdopen(writer, "w") as out:
            json.dump(seen, out)
        os._exit(0)
    os.close(writer)
    os.close(namespace)
    with os.fdopen(reader) as out:
        text = out.read()
    same("the observer's status", 0, os.waitpid(child, 0)[1])
    return json.loads(text)


def start_in_waiting(setup):
    """A step in a process that waited for it. Whether one is through with its set-up is its own affair: until one is."""
    client, end = setup.client, time.monotonic() + DEADLINE
    while True:
        ready = waiting(setup)
        request = client.request("step.run", step("a", "exec sleep 1000"))
        pid = events_until(client, method("step.started"))[-1]["params"]["pid"]
        if pid in ready:
            return pid
        assert time.monotonic() < end, f"{pid} did not wait: {ready}"
        client.call("step.cancel", {"step": "a"})
        client.answer(request, timeout=DEADLINE)


def test_below_the_root_of_a_waiting_process_lies_nothing():
    setup = Setup()
    with setup as client:
        make_warm(client, step("b", "exit 0"))
        top, below = below_the_root(start_in_waiting(setup))
        assert "/bin/busybox" in top, top
        same("what lies below", ["/dev", "/proc", "/sys"], below)


class Nets:
    """Which network namespaces steps are in. Every one is held, so that no number comes twice."""

    def __init__(self, setup):
        self.setup, self.held = setup, {}

    def __enter__(self):
        make_warm(self.setup.client, step("a", "exit 0"))
        return self

    def __exit__(self, *_):
        for fd in self.held.values():
            os.close(fd)

    def hold(self, pid):
        with contextlib.suppress(OSError):  # it is gone
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            if os.fstat(fd).st_ino in self.held:
                os.close(fd)
            else:
                self.held[os.fstat(fd).st_ino] = fd

    def step(self, request, meanwhile=None):
        """Runs a step in a waiting process; the number of its namespace."""
        client = self.setup.client
        wait_until("a process waits", lambda: waiting(self.setup))
        for pid in waiting(self.setup):
            self.hold(pid)
        call = client.request("step.run", request)
        if meanwhile:
            self.hold(events_until(client, method("step.started"))[-1]["params"]["pid"])
            meanwhile()
        chunks = [output_bytes(message["params"]) for message in events_until(client, answer_to(call))
                  if message.get("method") == "step.output" and {"text", "data"} & message["params"].keys()]
        return int(re.search(r"net:\[(\d+)\]", b"".join(chunks).decode())[1])


NET = "readlink /proc/self/ns/net"


def test_a_network_namespace_that_nobody_used_is_used_again():
    setup = Setup()
    with setup, Nets(setup) as nets:
        seen = [nets.step(step(f"n{n}", NET)) for n in range(12)]
        assert len(set(seen)) < len(seen), f"all different: {seen}"


def send_socket_out(top):
    """A step that hands a socket of its network to whoever listens, and ends."""
    script = "import os, socket; print(os.readlink('/proc/self/ns/net')); s = socket.socket(socket.AF_UNIX); " \
        "s.connect('/out/s'); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); socket.send_fds(s, [b'x'], [u.fileno()])"
    return step("out", "", process={"args": ["/usr/bin/python3", "-c", script]},
                mounts=[{"dest": "/out", "src": top}] +
                [{"dest": path, "src": path, "readonly": True} for path in ("/usr", "/lib", "/lib64")])


def test_a_used_network_namespace_is_not_given_on():
    with socket_for_a_step() as (top, listener):
        kept = []

        def keep_socket():
            peer = listener.accept()[0]
            kept.extend(socket.recv_fds(peer, 1, 1)[1])
            peer.close()
            assert kept, "no socket came"

        admin = {"process": {"capabilities": {"bounding": ["CAP_NET_ADMIN"], "effective": [], "permitted": []}}}
        use = NET + "; nc -w 1 127.0.0.1 9; exit 0"
        uses = {
            "a packet": (step("use", use), None, {}),
            "the right to configure it": (step("use", NET, **json.loads(json.dumps(admin))), None, admin),
            "a socket that lives on": (send_socket_out(top), keep_socket, {}),
        }
        for what, (request, meanwhile, kind) in uses.items():
            setup = Setup()
            with setup, Nets(setup) as nets:
                for _ in range(3):
                    used = nets.step(request, meanwhile)
                    if used in nets.held:  # else no process waited: its namespace was a new one
                        break
                assert used in nets.held, f"{what}: never in a waiting process"
                # what waits for one kind of steps is not there for another; and these use theirs up
                after = [nets.step(step(f"n{n}", use, **json.loads(json.dumps(kind)))) for n in range(6)]
                assert used not in after, f"{what}: {used} again, {after}"
        for fd in kept:
            os.close(fd)


def test_an_entered_network_namespace_is_not_given_on():
    setup = Setup()
    with setup as client, Nets(setup) as nets:
        used = nets.step(step("a", NET + "; while [ ! -e /tmp/end ]; do sleep 0.02; done",
                              mounts=[{"dest": "/tmp", "tmpfs": {}}]),
                         lambda: client.request("step.exec", {"step": "a", "exec": "e", "process": {
                             "args": ["touch", "/tmp/end"], "env": ["PATH=/bin"]}}))
        after = [nets.step(step(f"n{n}", NET)) for n in range(8)]
        assert used not in after, f"{used} again, {after}"


def test_the_schema_takes_what_the_worker_takes():
    if not jsonschema:
        raise Skip("the Python package jsonschema is not installed")
    schema = schema_of_worker()
    validator = jsonschema.validators.validator_for(schema)(schema)
    replies = validator_of_replies()
    for name in TRANSCRIPTS:
        lines = list(transcript(name))
        for (direction, line), (_, reply) in zip(lines, lines[1:]):
            if direction != ">":
                continue
            try:
                request = json.loads(line)
            except ValueError:
                continue
            error = json.loads(reply).get("error", {}).get("data", {})
            by_shape = error.get("kind") in ("unknown-member", "invalid-params", "no-such-method") or \
                error.get("kind") == "invalid-request" and request.get("method") != "hello" and "rb" in error
            if error.get("kind") == "parse":
                continue  # duplicate members are gone here
            same(line, not by_shape, validator.is_valid(request))
    for wrong in ({"jsonrpc": "2.0", "id": 1, "result": {"new": 1}}, {"jsonrpc": "2.0", "method": "step.new", "params": {}},
                  {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "m", "data": {"kind": "new"}}}):
        assert not replies.is_valid(wrong), wrong


# ---- what explain shows ---------------------------------------------------------------------------

SNAPSHOT = {"lower": ["/l"], "upper": "/u", "work": "/w"}
# Of each member a description and the same with another value; kept in the record only: no plan tells of them.
KEPT_ONLY = {"traceparent", "labels"}
REFUSED = {"cdi"}


def with_member(step_, path, value):
    step_ = json.loads(json.dumps(step_))
    place = step_
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if name.isdigit() else place.setdefault(name, {})
    place[int(last) if last.isdigit() else last] = value
    return step_


def explanations():
    """(the members that it is about, one description, another)."""
    plain = {"step": "a", "process": {"args": ["true"]}, "rootfs": {"path": "/r"}}
    snapshot = {**plain, "rootfs": {"snapshot": SNAPSHOT}}
    mount = {**plain, "mounts": [{"dest": "/m", "src": "/s"}]}
    slirp = {**plain, "net": {"mode": "slirp"}}
    port = with_member(slirp, "net.ports", [{"parentPort": 8080, "childPort": 80}])
    device = {**plain, "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]}
    group = {**plain, "cgroup": {"parent": "/build"}}
    timed = {**plain, "timeoutMs": 1000}
    maps = [{"containerID": 0, "hostID": 7, "size": 1}]
    whole = {"step": "a", "bundle": "/b", "oci": {
        "ociVersion": "1.0.0", "root": {"path": "r"}, "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]}}}
    values = [
        (plain, {
            "process.args": ["false"], "process.env": ["A=b"], "process.cwd": "/d", "process.user": "7:7", "process.tty": True,
            "process.noNewPrivileges": False, "process.oomScoreAdj": 7, "process.apparmor": "p", "process.selinux": "u:r:t:s0",
            "process.rlimits": [{"type": "NOFILE", "soft": 64, "hard": 64}], "process.capabilities": {"bounding": []},
            "rootfs.path": "/other", "rootfs.readonly": True, "rootfs.propagation": "shared", "mounts": mount["mounts"],
            "removeStubs": "leaf", "hostname": "h", "hosts": [{"host": "h", "ip": "::1"}], "resolv": {"options": ["edns0"]},
            "net.mode": "host", "security.mode": "insecure", "security.seccomp": "none", "security.maskedPaths": [],
            "security.readonlyPaths": ["/x"], "security.landlock": {"read": ["/"]}, "pid": "host", "ipc": "host", "uts": "host",
            "cgroupNs": "host", "cgroup.parent": "/p", "cgroup.path": "/p/q", "cgroup.fd": 0, "devices": device["devices"],
            "io.fds": {"stdout": 0}, "io.inband": False, "io.stdin": True, "io.window": 7, "io.merge": True, "io.consoleFd": 0,
            "timeoutMs": 7, "validExitCodes": [7], "onExit.changes": True, "onExit.stats": True, "record": "always", "step": "b"}),
        ({**plain, "process": {"args": ["true"], "user": {"uid": 7, "gid": 7}}, "io": {"fds": {"stdin": 0}}}, {
            "process.user.uid": 8, "process.user.gid": 8, "process.user.additionalGids": [9], "process.user.umask": 7,
            "io.fds.stdin": 1, "io.fds.stdout": 1, "io.fds.stderr": 1}),
        ({**plain, "process": {"args": ["true"], "tty": True}}, {"process.rows": 7, "process.cols": 7}),
        (with_member(plain, "process.capabilities", {kind: ["CAP_CHOWN"] for kind in ("bounding", "permitted", "inheritable")}),
         {f"process.capabilities.{kind}": [] if kind in ("bounding", "permitted", "inheritable") else ["CAP_CHOWN"]
          for kind in ("bounding", "permitted", "effective", "inheritable", "ambient")}),
        (snapshot, {
            "rootfs.snapshot.lower": ["/l", "/l2"], "rootfs.snapshot.upper": "/u2", "rootfs.snapshot.work": "/w2",
            "rootfs.snapshot.driver": "fuse", "rootfs.snapshot.options": ["volatile"], "onExit.keepUpper": "failure",
            "rootfs": {"mountFd": 0}}),
        (mount, {f"mounts.0.{name}": value for name, value in {
            "dest": "/other", "src": "/other", "selector": "part", "readonly": True, "recursive": False, "options": ["nosuid"],
            "createDest": "dir", "idmap": {"uidMappings": maps, "gidMappings": maps}}.items()}),
        (mount, {"mounts.0": {"dest": "/m", "tmpfs": {}}}),
        (mount, {"mounts.0": {"dest": "/m", "snapshot": {"lower": ["/s"]}}}),
        (mount, {"mounts.0": {"dest": "/m", "fd": 0}}),
        ({**plain, "mounts": [{"dest": "/m", "tmpfs": {}}]}, {"mounts.0.tmpfs.size": 7, "mounts.0.tmpfs.mode": 7}),
        ({**plain, "resolv": {}}, {"resolv.nameservers": ["192.0.2.1"], "resolv.search": ["s"], "resolv.options": ["o"]}),
        (plain, {"resolv.path": "/etc/resolv.conf", "security.seccomp": {"bpfFd": 0}}),
        (plain, {"security.seccomp": {"oci": {"defaultAction": "SCMP_ACT_ALLOW"}}, "net": {"mode": "netns", "netnsFd": 0}}),
        (with_member(plain, "security.landlock", {"read": ["/"]}),
         {f"security.landlock.{kind}": ["/x"] for kind in ("read", "write", "execute")}),
        (group, {f"cgroup.resources.{name}": value for name, value in {
            "memory": 1 << 26, "pidsMax": 7, "cpuShares": 512, "cpuQuota": 25000, "cpusetCpus": "0", "cpusetMems": "0"}.items()}),
        (with_member(group, "cgroup.resources.cpuQuota", 25000), {"cgroup.resources.cpuPeriod": 50000}),
        (with_member(group, "cgroup.resources.memory", 1 << 26), {"cgroup.resources.memorySwap": 1 << 27}),
        (device, {"devices.0.path": "/dev/null", "devices.0.type": "b", "devices.0.major": 1, "devices.0.minor": 7}),
        (timed, {"timeoutGraceMs": 7}),
        (whole, {"bundle": "/other", "oci.root.path": "other", "io.merge": True, "timeoutMs": 7, "record": "always"}),
    ]
    if has_slirp():
        values += [
            (plain, {"net.mode": "slirp"}),
            (slirp, {"net.mtu": 1400, "net.cidr": "10.77.0.0/24", "net.dns": "none", "net.allowHostLoopback": True,
                     "net.ports": port["net"]["ports"]}),
            (port, {f"net.ports.0.{name}": value for name, value in {
                "proto": "udp", "parentIP": "127.0.0.1", "parentPort": 8081, "childIP": "10.0.2.9", "childPort": 81}.items()}),
        ]
    for description, members in values:
        for path, value in members.items():
            yield path, description, with_member(description, path, value)


@only_on("stdio")  # once is enough
def test_explain_shows_every_member_of_a_step():
    """What changes a step changes what explain says of it; in the two parts as well."""
    seen, told = set(), {}

    def explain(description, *options):
        key = json.dumps(description) + str(options)
        if key not in told:
            run = subprocess.run([RUNBUILD, "explain", "--host-facts", str(facts), "--step", "-", *options],
                                 input=json.dumps(description).encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)
            told[key] = run.stdout.decode()
            assert run.returncode == 0, f"{description}: {run.stderr.decode()}"
        return told[key]

    facts = Setup.scratch / "tmp" / "facts"
    # where everything can be set
    facts.write_text((HERE.parent / "golden" / "hosts" / "root-lsm").read_text() + "cgroup_v2 cpu,cpuset,memory,io,pids\n")
    hidden = []
    for path, before, after in explanations():
        seen |= {name for name in path.split(".") if not name.isdigit()}
        seen |= members_in(before) | members_in(after)
        for options in ((), ("--parts",)):
            if explain(before, *options) == explain(after, *options):
                hidden.append(f"{path} {options}")
    same("what is not shown", [], hidden)
    schema = schema_of_worker()["$defs"]
    wanted = set().union(*(members_of(schema[part]) for part in ("step", "ociStep", "process", "snapshot", "mount", "port", "io")))
    if has_slirp():
        same("members that this test leaves out", set(), wanted - seen - KEPT_ONLY - REFUSED)


def members_in(value):
    if isinstance(value, list):
        return set().union(*map(members_in, value)) if value else set()
    return set(value).union(*map(members_in, value.values())) if isinstance(value, dict) else set()


# ---- the documents ------------------------------------------------------------------------------

DOCUMENT = HERE.parent.parent / "docs" / "PROTOCOL.md"
MANUAL = HERE.parent.parent / "man" / "runbuild-protocol.7.scd"


def section(number):
    text = DOCUMENT.read_text()
    begin = text.index(f"\n## {number}. ")
    return text[begin:text.index("\n## ", begin + 1) if f"\n## {number + 1}. " in text else len(text)]


def table(number):
    """Name and members of each row `name` | `{a, b or c}`."""
    rows = re.findall(r"^\| `([a-z.]+)` \| (?:`\{([^`]*)\}`|step specification[^|]*) \|", section(number), re.M)
    return {name: set(re.findall(r"\b[a-zA-Z]+\b", re.sub(r':"[^,}]*|:\d|\bor\b|\.\.\.', " ", members)))
            for name, members in rows}


def members_of(schema):
    """Names that a request can have in this part of the schema, at any depth, references aside."""
    if isinstance(schema, list):
        return set().union(*map(members_of, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    names = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return names.union(*(members_of(value) for value in schema.values())) if schema else names


def methods_of(schema):
    return {each["properties"]["method"]["const"]: set(each["properties"]["params"].get("properties", {}))
            for each in schema["anyOf"]}


def notifications_of(schema):
    return {each["properties"]["method"]["const"]: set(each["properties"]["params"]["properties"])
            for each in schema["$defs"]["reply"]["anyOf"] if "method" in each["properties"]}


@only_on("stdio")  # once is enough
def test_document_and_schema_name_the_same_methods_and_members():
    methods = methods_of(schema_of_worker())
    del methods["hello"]  # told in a section of its own
    rows = table(6)
    same("the methods", sorted(methods), sorted(rows))
    for name, members in methods.items():
        if name != "step.run":
            same(f"members of {name}", sorted(members), sorted(rows[name]))
    rows = table(8)
    for name, members in notifications_of(schema_of_worker()).items():
        optional = {"exec"} if name != "log" else set()  # section 6: the same events, with exec
        same(f"members of {name}", sorted(members - optional), sorted(rows[name] - optional))
    for name in members_of(schema_of_worker()["anyOf"][0]["properties"]["params"]):
        assert name in section(5), f"hello's {name} is not in the document"


# Words of the step specification that are no members: types, units, prose.
PROSE = set("""a all and any appear be beside by chosen client copied default false fd has have i in into inside
    is it its itself K KiB later level list logs lives may none NOFILE of only or order other out paths record
    resolved sets step string source the then these they to top true unique V W C first whole while OCI runtime config
    io bundle timeoutMs insecure when always result ok k v sub path selector""".split())


@only_on("stdio")
def test_document_and_schema_name_the_same_members_of_a_step():
    schema = schema_of_worker()["$defs"]
    wanted = set().union(*(members_of(schema[part]) for part in
                           ("step", "ociStep", "process", "snapshot", "mount", "port", "io")))
    # what is refused in this version stands below the block
    block, rest = section(7).split("```")[1:]
    refused = re.search(r"\n\* Known but refused.*?\n\* ", rest, re.S).group()
    wanted -= set(re.findall(r"`([A-Za-z]+)`", refused))
    words = set(re.findall(r"[A-Za-z]+", re.sub(r'"[^"]*"|\^\[.*\$|\(.*?\)', " ", block)))
    same("members without a word in the document", set(), wanted - words)
    same("words of the document that are no members", set(), words - wanted - PROSE)


@only_on("stdio")
def test_the_manual_page_names_every_member():
    text = MANUAL.read_text()
    words = set(re.findall(r"[A-Za-z]+", text))
    schema = schema_of_worker()
    for name, members in {**methods_of(schema), **notifications_of(schema)}.items():
        if name == "log":
            continue  # off by default
        assert f"*{name}*" in text, f"{name} is not in the manual page"
        same(f"members of {name} that the page lacks", set(), members - words)
    parts = ("step", "ociStep", "snapshot", "mount", "io", "stepResult")
    wanted = set().union(*(set(schema["$defs"][part]["properties"]) for part in parts))
    wanted |= set(schema["$defs"]["process"]["properties"])
    same("members that the page lacks", set(), {name for name in wanted if name.isalpha()} - words)
    kinds = schema["$defs"]["error"]["properties"]["data"]["properties"]["kind"]["enum"]
    same("kinds that page or document lack", [], [kind for kind in kinds if kind not in text or kind not in section(10)])


# ---- the client in C ----------------------------------------------------------------------------

def run_step(description, *more):
    """Runs the example of librunbuild-client on this transport."""
    program = Setup.scratch / "tools" / "run-step"
    if not program.exists():
        raise Skip("no C compiler")
    if Setup.transport == "fd":
        return subprocess.run([program, RUNBUILD, json.dumps(description), *more], capture_output=True,
                              timeout=DEADLINE, check=False)
    setup = Setup()
    with setup:
        return subprocess.run([program, "@" + setup.path, json.dumps(description), *more],
                              capture_output=True, timeout=DEADLINE, check=False)


@only_on(*SOCKETS)
def test_the_c_client_runs_a_step_and_decodes_its_output():
    script = r'printf "a\042b\134\303\244\001\n"; printf "\377\000x"; echo err >&2; exit 6'
    done = run_step(step("c", script))
    same("the end", (6, b'a"b\\\xc3\xa4\x01\n\xff\x00x', b"err\n"), (done.returncode, done.stdout, done.stderr))


@only_on(*SOCKETS)
def test_the_c_client_acknowledges_what_it_has_read():
    done = run_step(step("c", "yes | head -c 3000000"))
    same("the end", (0, 3000000), (done.returncode, len(done.stdout)))


@only_on(*SOCKETS)
def test_the_c_client_tells_errors_and_sends_signals():
    done = run_step({"step": "c"})
    same("the end", (125, b'invalid-params: "process" is missing\n'), (done.returncode, done.stderr))
    done = run_step(step("c", "trap 'exit 11' USR1; echo up; while :; do sleep 0.01; done"), "USR1")
    same("the end", (11, b"up\n"), (done.returncode, done.stdout))


def run_all(only):
    number = failed = 0
    tests = [(name[5:], test) for name, test in globals().items() if name.startswith("test_")
             and Setup.transport in getattr(test, "transports", (Setup.transport,))]
    BEFORE.update(pid for _, pid in processes())
    for name, test in tests:
        if not fnmatch.fnmatch(name, only):
            continue
        number += 1
        try:
            test()
            nothing_is_left()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except BaseException:  # whatever it is, it is this test's
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
            for _, pid in [p for p in processes() if p[1] not in BEFORE]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
    print(f"1..{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--transport", default="fd")
    parser.add_argument("--only", default="*")
    parser.add_argument("--scratch", type=pathlib.Path)
    arguments = parser.parse_args()
    Setup.transport, Setup.scratch = arguments.transport, arguments.scratch
    sys.exit(run_all(arguments.only))
