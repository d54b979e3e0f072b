// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"go.opentelemetry.io/otel/trace"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"runbuild.invalid/contrib/go/worker"
)

// The tests need a runbuild in RUNBUILD and a root file system with a shell in RUNBUILD_TEST_ROOT,
// and uid 0 of a user namespace: runbuild rootless -- go test ./...

type tree struct{ mounts []mount.Mount }

func (t tree) Mount() ([]mount.Mount, func() error, error) { return t.mounts, nil, nil }
func (t tree) IdentityMapping() *user.IdentityMapping      { return nil }

type mountable struct{ tree }

func (m mountable) Mount(context.Context, bool) (executor.MountableRef, error) { return m.tree, nil }

func bind(path string) executor.Mount {
	return executor.Mount{Src: mountable{tree{[]mount.Mount{{Type: "bind", Source: path, Options: []string{"rbind"}}}}}}
}

type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

func setUp(t *testing.T) (*Executor, string) {
	t.Helper()
	program, root := os.Getenv("RUNBUILD"), os.Getenv("RUNBUILD_TEST_ROOT")
	if program == "" || root == "" {
		t.Skip("RUNBUILD or RUNBUILD_TEST_ROOT is not set")
	}
	e, err := New(Options{Root: t.TempDir(), Connect: func() (*worker.Client, error) { return worker.Spawn(program) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, root
}

func shell(script string, out *buffer) executor.ProcessInfo {
	return executor.ProcessInfo{Meta: executor.Meta{Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin"}, Cwd: "/"}, Stdout: out}
}

func code(err error) uint32 {
	var exit *gatewayapi.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode
	}
	return 9999
}

func TestRunGivesOutputAndStatus(t *testing.T) {
	e, root := setUp(t)
	out := &buffer{}
	started := make(chan struct{})
	_, err := e.Run(context.Background(), "", bind(root), nil, shell("echo out; cat /etc/hosts | grep -c localhost; exit 3", out), started)
	if code(err) != 3 || !strings.HasPrefix(out.String(), "out\n") {
		t.Fatalf("%v, %q", err, out.String())
	}
	<-started
}

func TestInputReachesTheStepAndEnds(t *testing.T) {
	e, root := setUp(t)
	out := &buffer{}
	process := shell("cat; echo end", out)
	process.Stdin = io.NopCloser(strings.NewReader("typed\n"))
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); err != nil || out.String() != "typed\nend\n" {
		t.Fatalf("%v, %q", err, out.String())
	}
}

func TestOptionsOfTheDaemonReachTheStep(t *testing.T) {
	e, root := setUp(t)
	adj := 321
	e.OOMScoreAdj = &adj
	for mode, first := range map[oci.ProcessMode]bool{oci.ProcessSandbox: true, oci.NoProcessSandbox: false} {
		out := &buffer{}
		e.ProcessMode = mode
		_, err := e.Run(context.Background(), "", bind(root), nil, shell("cat /proc/self/oom_score_adj; echo $$", out), nil)
		if err != nil || strings.HasPrefix(out.String(), "321\n1\n") != first || !strings.HasPrefix(out.String(), "321\n") {
			t.Fatalf("%v: %v, %q", mode, err, out.String())
		}
	}
	e.ApparmorProfile = "runbuild-no-such-profile"
	if _, err := e.Run(context.Background(), "", bind(root), nil, shell("true", &buffer{}), nil); err == nil {
		t.Fatal("a profile that is not loaded")
	}
	insecure := shell("true", &buffer{})
	insecure.Meta.SecurityMode = pb.SecurityMode_INSECURE
	if _, err := e.Run(context.Background(), "", bind(root), nil, insecure, nil); err != nil {
		t.Fatal(err)
	}
}

func TestAProgramThatCannotBeExecutedGives126(t *testing.T) {
	e, root := setUp(t)
	process := executor.ProcessInfo{Meta: executor.Meta{Args: []string{"/etc"}, Env: []string{"PATH=/bin"}, Cwd: "/"}}
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); code(err) != 126 {
		t.Fatal(err)
	}
}

func TestAProgramThatIsNotThereGives127(t *testing.T) {
	e, root := setUp(t)
	process := executor.ProcessInfo{Meta: executor.Meta{Args: []string{"nosuch"}, Env: []string{"PATH=/bin"}, Cwd: "/"}}
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); code(err) != 127 {
		t.Fatal(err)
	}
}

func TestTheEndOfTheContextEndsTheStep(t *testing.T) {
	e, root := setUp(t)
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan struct{})
	go func() { <-started; cancel() }()
	began := time.Now()
	_, err := e.Run(ctx, "", bind(root), nil, shell("exec sleep 1000", &buffer{}), started)
	if !errors.Is(err, context.Canceled) || time.Since(began) > 20*time.Second {
		t.Fatal(err)
	}
}

func TestExecAndSignals(t *testing.T) {
	e, root := setUp(t)
	started, done := make(chan struct{}), make(chan error)
	signals := make(chan syscall.Signal, 1)
	process := shell("trap 'exit 5' USR1; : >/dev/shm/up; while :; do sleep 0.05; done", &buffer{})
	process.Signal = signals
	go func() {
		_, err := e.Run(context.Background(), "live", bind(root), nil, process, started)
		done <- err
	}()
	<-started
	out := &buffer{}
	if err := e.Exec(context.Background(), "live", shell("until [ -e /dev/shm/up ]; do sleep 0.01; done; echo inside; exit 4", out)); code(err) != 4 || out.String() != "inside\n" {
		t.Fatalf("%v, %q", err, out.String())
	}
	signals <- syscall.SIGUSR1
	if err := <-done; code(err) != 5 {
		t.Fatal(err)
	}
}

func TestAnOverlayBecomesASnapshot(t *testing.T) {
	found := overlay(mount.Mount{Type: "overlay", Options: []string{"lowerdir=/a:/b", "upperdir=/u", "workdir=/w", "userxattr"}})
	if found["upper"] != "/u" || found["work"] != "/w" || len(found["lower"].([]string)) != 2 {
		t.Fatal(found)
	}
	if overlay(mount.Mount{Type: "bind", Source: "/"}) != nil {
		t.Fatal("a bind is no overlay")
	}
	e, root := setUp(t)
	top := t.TempDir()
	for _, name := range []string{"u", "w"} {
		os.Mkdir(top+"/"+name, 0o755)
	}
	m := executor.Mount{Src: mountable{tree{[]mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + root, "upperdir=" + top + "/u", "workdir=" + top + "/w"}}}}}}
	if _, err := e.Run(context.Background(), "", m, nil, shell("echo x >/new", &buffer{}), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(top + "/u/new"); err != nil {
		t.Fatal(err)
	}
}

func TestExecUsesTheStepsOwnSettings(t *testing.T) {
	e, root := setUp(t)
	started, done := make(chan struct{}), make(chan error)
	process := shell("read x", &buffer{})
	reader, writer := io.Pipe()
	process.Stdin = reader
	process.Meta.Env = append(process.Meta.Env, "OF=the step")
	process.Meta.Cwd = "/tmp"
	go func() {
		_, err := e.Run(context.Background(), "own", bind(root), nil, process, started)
		done <- err
	}()
	<-started
	out := &buffer{}
	inner := shell("echo $OF; pwd", out)
	inner.Meta.Env, inner.Meta.Cwd = nil, ""
	if err := e.Exec(context.Background(), "own", inner); err != nil || out.String() != "the step\n/tmp\n" {
		t.Fatalf("%v, %q", err, out.String())
	}
	if err := e.Exec(context.Background(), "nosuch", inner); err == nil {
		t.Fatal("an exec in a step that is not there")
	}
	writer.Write([]byte("\n"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestATerminalIsSizedAndTypedInto(t *testing.T) {
	e, root := setUp(t)
	out := &buffer{}
	resize := make(chan executor.WinSize, 1)
	resize <- executor.WinSize{Rows: 12, Cols: 34}
	process := shell(`until [ "$(stty size)" = "12 34" ]; do sleep 0.01; done; stty size; cat | wc -c`, out)
	process.Meta.Tty = true
	process.Resize = resize
	// more than the window, in lines that a terminal takes, and the character that ends its input
	text := strings.Repeat(strings.Repeat("x", 1000)+"\n", 400) + "\x04"
	process.Stdin = io.NopCloser(strings.NewReader("stty\n" + text))
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); err != nil {
		t.Fatalf("%v, %d bytes", err, out.Len())
	}
	if !strings.Contains(out.String(), "12 34") || !strings.Contains(out.String(), "400405") {
		t.Fatalf("%d bytes, the last: %q", out.Len(), out.String()[max(0, out.Len()-80):])
	}
}

type slow struct{ release chan struct{} }

func (s *slow) Write(p []byte) (int, error) { <-s.release; return len(p), nil }
func (s *slow) Close() error                { return nil }

func TestAReaderThatDoesNotReadStopsOnlyItsStep(t *testing.T) {
	e, root := setUp(t)
	stuck := &slow{make(chan struct{})}
	started, done := make(chan struct{}), make(chan error)
	process := shell("yes | head -c 700000", nil)
	process.Meta.Tty, process.Stdout = true, stuck
	go func() {
		_, err := e.Run(context.Background(), "", bind(root), nil, process, started)
		done <- err
	}()
	<-started
	out := &buffer{}
	if _, err := e.Run(context.Background(), "", bind(root), nil, shell("echo other", out), nil); err != nil || out.String() != "other\n" {
		t.Fatalf("%v, %q", err, out.String())
	}
	close(stuck.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAnotherWorkerTakesOverWhenOneIsLost(t *testing.T) {
	e, root := setUp(t)
	started, done := make(chan struct{}), make(chan error)
	go func() {
		_, err := e.Run(context.Background(), "", bind(root), nil, shell("exec sleep 1000", &buffer{}), started)
		done <- err
	}()
	<-started
	e.client.Call(context.Background(), "shutdown", map[string]any{"mode": "now"})
	if err := <-done; err == nil {
		t.Fatal("the step went well")
	}
	for !e.client.Lost() {
		time.Sleep(time.Millisecond)
	}
	if _, err := e.Run(context.Background(), "", bind(root), nil, shell("true", &buffer{}), nil); err != nil {
		t.Fatal(err)
	}
}

func TestWhatMetaSaysHolds(t *testing.T) {
	e, root := setUp(t)
	source := t.TempDir()
	os.WriteFile(source+"/file", []byte("bound\n"), 0o644)
	meta := executor.Meta{Env: []string{"PATH=/bin"}, Cwd: "/", Hostname: "named", ReadonlyRootFS: true,
		User: "1000:33", NetMode: pb.NetMode_NONE, CgroupParent: "ignored-when-rootless",
		ExtraHosts: []executor.HostIP{{Host: "somewhere", IP: net.ParseIP("192.0.2.7")}},
		Ulimit:     []*pb.Ulimit{{Name: "nofile", Soft: 123, Hard: 456}}}
	e.Rootless = true
	mounts := []executor.Mount{
		{Src: bind(source).Src, Dest: "/mnt/ro", Readonly: true},
		{Src: bind(source).Src, Dest: "/mnt/file", Selector: "file"},
		{Src: mountable{tree{[]mount.Mount{{Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "size=1048576"}}}}}, Dest: "/mnt/tmp"},
	}
	// mount points cannot be made in a root that is read-only
	os.MkdirAll(root+"/mnt/ro", 0o755)
	os.MkdirAll(root+"/mnt/tmp", 0o755)
	os.WriteFile(root+"/mnt/file", nil, 0o644)
	defer os.RemoveAll(root + "/mnt")
	for script, expected := range map[string]string{
		"hostname":                     "named",
		"id -u; id -g; id -G":          "1000\n33\n33",
		"ulimit -Sn; ulimit -Hn":       "123\n456",
		"grep -c somewhere /etc/hosts": "1",
		"tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' '": "lo",
		"cat /mnt/ro/file /mnt/file":                           "bound\nbound",
		"df -k /mnt/tmp | awk 'END { print $2 }'":              "1024",
		"touch /x 2>/dev/null || echo read-only":               "read-only",
		"touch /mnt/ro/x 2>/dev/null || echo read-only":        "read-only",
	} {
		out := &buffer{}
		meta.Args = []string{"sh", "-c", script}
		_, err := e.Run(context.Background(), "", bind(root), mounts, executor.ProcessInfo{Meta: meta, Stdout: out}, nil)
		if err != nil || strings.TrimSpace(out.String()) != expected {
			t.Errorf("%s: %v, %q", script, err, out.String())
		}
	}
}

func TestInsecureHasEveryCapabilityThatThereIs(t *testing.T) {
	e, root := setUp(t)
	for mode, expected := range map[pb.SecurityMode]string{pb.SecurityMode_SANDBOX: "2\nno\n", pb.SecurityMode_INSECURE: "0\nmounted\n"} {
		out := &buffer{}
		process := shell("awk '/^Seccomp:/ { print $2 }' /proc/self/status; mount -t tmpfs none /tmp 2>/dev/null && echo mounted || echo no", out)
		process.Meta.SecurityMode = mode
		if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); err != nil || out.String() != expected {
			t.Errorf("%v: %v, %q", mode, err, out.String())
		}
	}
}

func TestTheTracingSocketIsInTheStep(t *testing.T) {
	e, root := setUp(t)
	e.TracingSocket = t.TempDir() + "/otel.sock"
	listener, err := net.Listen("unix", e.TracingSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	parent, _ := trace.TraceIDFromHex("0123456789abcdef0123456789abcdef")
	span, _ := trace.SpanIDFromHex("0123456789abcdef")
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: parent, SpanID: span, TraceFlags: 1}))
	script := "test -S /dev/otel-grpc.sock && stat -c %i /dev/otel-grpc.sock; env | grep -E '^(OTEL|TRACE)' | sort"
	socket, err := os.Stat(e.TracingSocket)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=unix:///dev/otel-grpc.sock\nOTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc\n"
	traceparent := "TRACEPARENT=00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\n"
	inode := fmt.Sprintf("%d\n", socket.Sys().(*syscall.Stat_t).Ino)
	for _, each := range []struct{ set, expected string }{
		{"A=1", inode + endpoint + "OTEL_TRACES_EXPORTER=otlp\n" + traceparent},
		{"OTEL_TRACES_EXPORTER=none", inode + endpoint + "OTEL_TRACES_EXPORTER=none\n" + traceparent},
	} {
		out := &buffer{}
		process := shell(script, out)
		process.Meta.Env = append(process.Meta.Env, each.set)
		if _, err := e.Run(ctx, "", bind(root), nil, process, nil); err != nil || out.String() != each.expected {
			t.Fatalf("%s: %v, %q, not %q", each.set, err, out.String(), each.expected)
		}
	}
	e.TracingSocket += ".gone"
	out := &buffer{}
	if _, err := e.Run(ctx, "", bind(root), nil, shell("ls /dev/otel-grpc.sock 2>/dev/null || echo none", out), nil); err != nil || out.String() != "none\n" {
		t.Fatalf("%v, %q", err, out.String())
	}
}

// Where there is cgroup v2 the recorder has samples, one at the end at least; elsewhere BuildKit's has none.
func TestWhatAStepUsesIsRecorded(t *testing.T) {
	e, root := setUp(t)
	monitor, err := resources.NewMonitor()
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	e.ResourceMonitor, e.DefaultCgroupParent = monitor, "runbuild-go-test"
	defer os.Remove(cgroupRoot + "/runbuild-go-test")
	defer os.Remove(cgroupRoot + "/runbuild-go-test/buildkit")
	var fs syscall.Statfs_t
	isV2 := syscall.Statfs(cgroupRoot, &fs) == nil && fs.Type == 0x63677270
	if os.Getenv("RUNBUILD_SUITE_CGROUP") == "private" && !isV2 {
		t.Fatal("no cgroup v2 where there should be one")
	}
	busy := "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; "
	rec, err := e.Run(context.Background(), "measured", bind(root), nil, shell(busy, &buffer{}), nil)
	if err != nil || rec == nil {
		t.Fatal(rec, err)
	}
	if isV2 {
		if err := rec.Wait(); err != nil {
			t.Fatal(err)
		}
		samples, err := rec.Samples()
		if err != nil || len(samples.Samples) == 0 {
			t.Fatal(samples, err)
		}
		if last := samples.Samples[len(samples.Samples)-1]; last.CPUStat == nil || *last.CPUStat.UsageNanos == 0 {
			t.Fatal("no processor time was counted")
		}
	} else if samples, err := rec.Samples(); samples != nil || err != nil {
		t.Fatal(samples, err)
	}
	if rec, err := e.Run(context.Background(), "failed", bind(root), nil, shell(busy+"exit 3", &buffer{}), nil); rec != nil || code(err) != 3 {
		t.Fatal(rec, err)
	}
	for _, id := range []string{"measured", "failed"} {
		deadline := time.Now().Add(20 * time.Second)
		for _, err := os.Stat(cgroupRoot + "/runbuild-go-test/buildkit/" + id); err == nil; _, err = os.Stat(cgroupRoot + "/runbuild-go-test/buildkit/" + id) {
			if time.Now().After(deadline) {
				t.Fatal(id, "is still there")
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func TestACgroupIsWhereBuildKitPutsIt(t *testing.T) {
	e := &Executor{}
	limits := &pb.LinuxResources{Memory: 1 << 26}
	for _, each := range []struct {
		options  Options
		meta     executor.Meta
		expected string
	}{
		{Options{}, executor.Meta{}, ""},
		{Options{}, executor.Meta{LinuxResources: limits}, "/buildkit/id"},
		{Options{DefaultCgroupParent: "/all"}, executor.Meta{}, "/all/buildkit/id"},
		{Options{DefaultCgroupParent: "/all"}, executor.Meta{CgroupParent: "this"}, "/this/buildkit/id"},
		{Options{DefaultCgroupParent: "/all", Rootless: true}, executor.Meta{LinuxResources: limits}, ""},
	} {
		e.Options = each.options
		group, err := e.group("id", each.meta)
		if err != nil || group != each.expected {
			t.Fatal(each, group, err)
		}
		if params := cgroupParams(each.meta, group); (params == nil) != (group == "") || (params != nil && params["path"] != group) {
			t.Fatal(each, params)
		}
	}
	if _, err := e.group("id", executor.Meta{CgroupParent: "user.slice:"}); err != nil {
		t.Fatal("rootless steps have no group at all: ", err)
	}
	e.Rootless = false
	if _, err := e.group("id", executor.Meta{CgroupParent: "user.slice:"}); err == nil {
		t.Fatal("a slice of systemd")
	}
}

func TestExitCodesThatAreValid(t *testing.T) {
	e, root := setUp(t)
	process := shell("exit 3", &buffer{})
	process.Meta.ValidExitCodes = []int{3, 4}
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); err != nil {
		t.Fatal(err)
	}
	process = shell("exit 0", &buffer{})
	process.Meta.ValidExitCodes = []int{3, 4}
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); code(err) != 0 {
		t.Fatal(err)
	}
}

func TestOutOfMemoryIsToldInBuildKitsWords(t *testing.T) {
	killed, signal := &worker.Result{}, "KILL"
	killed.Signal = &signal
	if err := json.Unmarshal([]byte(`{"signal":"KILL","oom":{"killed":true,"count":1}}`), killed); err != nil {
		t.Fatal(err)
	}
	if err := exitError(context.Background(), killed, nil); code(err) != 137 || !errors.Is(err, syscall.ENOMEM) {
		t.Fatal(err)
	}
}

func TestNetworksAreBuildKits(t *testing.T) {
	spec := &specs.Spec{Linux: &specs.Linux{}}
	params, u := map[string]any{}, undo{}
	mode := func() any { return params["net"].(map[string]any)["mode"] }
	if files, err := networkOf(spec, params, &u); err != nil || files != nil || mode() != "host" {
		t.Fatal(params, err)
	}
	spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}
	if files, err := networkOf(spec, params, &u); err != nil || files != nil || mode() != "none" {
		t.Fatal(params, err)
	}
	spec.Linux.Namespaces[0].Path = freshNetwork(t)
	files, err := networkOf(spec, params, &u)
	defer u.run()
	if err != nil || len(files) != 1 || mode() != "netns" {
		t.Fatal(params, err)
	}
	e, root := setUp(t)
	out := &buffer{}
	p := map[string]any{"step": "ns", "rootfs": map[string]any{"path": root}, "net": params["net"],
		"process": e.processParams(shell("readlink /proc/self/ns/net", nil).Meta)}
	client, err := e.connection()
	if err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), call{client, "step.run", "ns", p, files}, executor.ProcessInfo{Stdout: out}, nil); err != nil {
		t.Fatal(err)
	}
	if wanted, _ := os.Readlink(spec.Linux.Namespaces[0].Path); strings.TrimSpace(out.String()) != wanted {
		t.Fatalf("%q, not %q", out.String(), wanted)
	}
}

// freshNetwork is the path of a network namespace that lives as long as the test.
func freshNetwork(t *testing.T) string {
	t.Helper()
	holder := exec.Command("cat")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	hold, err := holder.StdinPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hold.Close(); holder.Wait() })
	return fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
}

// deviceOfTheHost is one that no step has by itself: in a user namespace the host's node is bound.
func deviceOfTheHost(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/dev/fuse", "/dev/net/tun", "/dev/kmsg", "/dev/ptp0"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("this machine has none of the devices that the test knows")
	return ""
}

func TestCDIDevicesAreTakenOver(t *testing.T) {
	directory, device := t.TempDir(), deviceOfTheHost(t)
	os.WriteFile(directory+"/v.json", []byte(`{"cdiVersion":"0.6.0","kind":"v.test/null","devices":[{"name":"one",
		"containerEdits":{"env":["CDI=yes"],"deviceNodes":[{"path":"`+device+`"}],
		"mounts":[{"hostPath":"`+directory+`","containerPath":"/cdi","options":["ro","bind"]}]}}]}`), 0o644)
	cache, err := cdi.NewCache(cdi.WithSpecDirs(directory))
	if err != nil {
		t.Fatal(err)
	}
	e, root := setUp(t)
	e.CDI = cdidevices.NewManager(cache, nil)
	out := &buffer{}
	process := shell("echo $CDI; ls /cdi; test -c "+device+" && echo there", out)
	process.Meta.CDIDevices = []*pb.CDIDevice{{Name: "v.test/null=one"}}
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); err != nil || out.String() != "yes\nv.json\nthere\n" {
		t.Fatalf("%v, %q", err, out.String())
	}
	e.CDI = nil
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); err == nil {
		t.Fatal("a device without a manager")
	}
}
