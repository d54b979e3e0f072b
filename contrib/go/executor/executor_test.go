// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/sys/user"

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
	process := shell("trap 'exit 5' USR1; echo up; while :; do sleep 0.05; done", &buffer{})
	process.Signal = signals
	go func() {
		_, err := e.Run(context.Background(), "live", bind(root), nil, process, started)
		done <- err
	}()
	<-started
	out := &buffer{}
	if err := e.Exec(context.Background(), "live", shell("echo inside; exit 4", out)); code(err) != 4 || out.String() != "inside\n" {
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
