// SPDX-License-Identifier: Apache-2.0

// Package executor lets BuildKit run its steps through a runbuild worker.
package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/network"
	"golang.org/x/sys/unix"

	"runbuild.invalid/contrib/go/worker"
)

// Options of an executor. Connect and Root are needed.
type Options struct {
	// Connect makes a connection to a worker: at the first step, and again when it was lost.
	Connect func() (*worker.Client, error)
	// Root keeps the hosts and resolv.conf files that BuildKit makes.
	Root string
	DNS  *oci.DNSConfig
	// Networks are BuildKit's; without them a step has the daemon's network, or none.
	Networks map[pb.NetMode]network.Provider
	// Proxy makes networks that reach others only through a proxy; without it they are refused.
	Proxy network.ProxyProvider
	// CDI resolves the names of devices; without it they are refused.
	CDI *cdidevices.Manager
	// Rootless leaves cgroups alone, as BuildKit's own executor does then.
	Rootless bool
	// DefaultCgroupParent is for steps that do not name one.
	DefaultCgroupParent string
	// ProcessMode oci.NoProcessSandbox runs steps in the worker's pid namespace.
	ProcessMode oci.ProcessMode
	OOMScoreAdj *int
	// ApparmorProfile is for steps that are not insecure; it has to be loaded.
	ApparmorProfile string
	// TracingSocket takes traces of what runs in steps: BuildKit's otel-grpc.sock.
	TracingSocket string
	// ResourceMonitor samples the cgroups of steps; not Rootless, which has none.
	ResourceMonitor *resources.Monitor
}

// needed are features of the worker that every step relies on.
var needed = []string{"io.fds", "net.netns", "tty", "snap.overlay"}

// Executor implements BuildKit's executor.Executor.
type Executor struct {
	Options
	root    *os.Root
	mu      sync.Mutex
	client  *worker.Client
	running map[string]*step
}

var _ executor.Executor = (*Executor)(nil)

// step is what an exec has to know about the step that it enters.
type step struct {
	meta    executor.Meta
	client  *worker.Client
	started chan struct{}
	done    chan struct{}
}

// New makes an executor.
func New(options Options) (*Executor, error) {
	if err := os.MkdirAll(options.Root, 0o711); err != nil {
		return nil, err
	}
	opened, err := os.OpenRoot(options.Root)
	if err != nil {
		return nil, err
	}
	return &Executor{Options: options, root: opened, running: map[string]*step{}}, nil
}

// Close ends the connection, and so every step.
func (e *Executor) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client == nil {
		return e.root.Close()
	}
	return errors.Join(e.client.Close(), e.root.Close())
}

// connection is a live one: a worker that died has taken its own steps with it, not the next ones.
func (e *Executor) connection() (*worker.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client != nil && !e.client.Lost() {
		return e.client, nil
	}
	if e.client != nil {
		e.client.Close()
		e.client = nil
	}
	client, err := e.Connect()
	if err != nil {
		return nil, err
	}
	for _, feature := range needed {
		if !client.Has(feature) {
			client.Close()
			return nil, fmt.Errorf("the worker lacks %s", feature)
		}
	}
	e.client = client
	return client, nil
}

// undo collects what is to be released, last first.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

func (u undo) run() {
	for i := len(u) - 1; i >= 0; i-- {
		u[i]()
	}
}

func (e *Executor) enter(id string, s *step) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running[id] != nil {
		return fmt.Errorf("container %s runs already", id)
	}
	e.running[id] = s
	return nil
}

func (e *Executor) leave(id string, s *step) {
	e.mu.Lock()
	delete(e.running, id)
	e.mu.Unlock()
	close(s.done)
}

// Run starts a step and waits for it.
func (e *Executor) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	if id == "" {
		id = identity.NewID()
	}
	if err := executor.ValidContainerID(id); err != nil {
		return nil, err
	}
	var once sync.Once
	tell := func() {
		once.Do(func() {
			if started != nil {
				close(started)
			}
		})
	}
	defer tell() // who waits for it must not wait for ever when the step never started
	client, err := e.connection()
	if err != nil {
		return nil, err
	}
	s := &step{meta: process.Meta, client: client, started: make(chan struct{}), done: make(chan struct{})}
	if err := e.enter(id, s); err != nil {
		return nil, err
	}
	defer e.leave(id, s)
	var u, later undo
	defer func() { u.run() }()
	request, err := e.stepParams(ctx, id, root, mounts, &s.meta, &u, &later)
	if err != nil {
		return finish(request.recorder, err, later)
	}
	err = run(ctx, call{client, "step.run", id, request.params, request.files}, process, func() {
		close(s.started)
		tell()
		if request.recorder != nil {
			request.recorder.Start()
		}
	})
	return finish(request.recorder, err, later)
}

// Exec starts a further process in a step, once that one runs. What is not said is the step's.
func (e *Executor) Exec(ctx context.Context, id string, process executor.ProcessInfo) error {
	e.mu.Lock()
	s := e.running[id]
	e.mu.Unlock()
	if s == nil {
		return fmt.Errorf("container %s not found", id)
	}
	select {
	case <-s.started:
	case <-s.done:
		return fmt.Errorf("container %s has stopped", id)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	meta := process.Meta
	if meta.User == "" {
		meta.User = s.meta.User
	}
	if meta.Cwd == "" {
		meta.Cwd = s.meta.Cwd
	}
	if len(meta.Env) == 0 {
		meta.Env = s.meta.Env
	}
	meta.SecurityMode = s.meta.SecurityMode
	name := identity.NewID()
	params := map[string]any{"step": id, "exec": name, "process": e.processParams(meta)}
	return run(ctx, call{s.client, "step.exec", name, params, nil}, process, nil)
}

// call is one request for a process.
type call struct {
	client *worker.Client
	method string
	name   string
	params map[string]any
	files  []*os.File // go along, in front of those of the streams
}

func run(ctx context.Context, c call, process executor.ProcessInfo, started func()) error {
	s, err := openStreams(c, process)
	if err != nil {
		return err
	}
	c.params["io"] = s.params
	up, done := make(chan struct{}), make(chan struct{})
	go s.attend(process, up, done)
	result, err := c.client.Run(ctx, c.method, c.name, c.params, func(event *worker.Event) {
		switch event.Method {
		case "step.started":
			s.close() // the step has them: the pipes end with it
			close(up)
			if started != nil {
				started()
			}
		case "step.output":
			s.terminal.put(event.Bytes())
		case "step.ack":
			s.credit.grow(event.Off)
		case "step.warn": // a limit that is not enforced, a slower driver
			bklog.G(ctx).Warnf("step %s: %s: %s", c.name, event.Kind, event.Note)
		}
	}, append(c.files, s.files...)...)
	close(done)
	s.finish()
	if err != nil {
		return startError(err)
	}
	return exitError(ctx, result, process.Meta.ValidExitCodes)
}

// startError keeps the status that a shell would give for a program that cannot be started.
func startError(err error) error {
	var refused *worker.Error
	if errors.As(err, &refused) && refused.Data.Kind == "exec-failed" {
		return &gatewayapi.ExitError{ExitCode: uint32(refused.Data.ExitCodeHint), Err: err}
	}
	return err
}

func exitError(ctx context.Context, result *worker.Result, valid []int) error {
	code := gatewayapi.UnknownExitStatus
	if result.Code != nil {
		code = *result.Code
	} else if result.Signal != nil {
		code = 128 + int(unix.SignalNum("SIG"+*result.Signal))
	}
	if valid == nil {
		valid = []int{0}
	}
	for _, each := range valid {
		if each == code && ctx.Err() == nil {
			return nil
		}
	}
	exit := &gatewayapi.ExitError{ExitCode: uint32(code)}
	if result.OOM != nil && result.OOM.Killed {
		exit.Err = unix.ENOMEM // BuildKit's word for it: "cannot allocate memory"
	}
	if ctx.Err() != nil {
		exit.Err = fmt.Errorf("%s: %w", exit.Error(), context.Cause(ctx))
	}
	return exit
}
