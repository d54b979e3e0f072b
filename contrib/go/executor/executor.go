// SPDX-License-Identifier: Apache-2.0

// Package executor lets BuildKit run its steps through a runbuild worker.
package executor

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"

	"runbuild.invalid/contrib/go/worker"
)

// Executor implements BuildKit's executor.Executor.
type Executor struct {
	client *worker.Client
	root   *os.Root
	dns    *oci.DNSConfig
}

var _ executor.Executor = (*Executor)(nil)

// New makes an executor. Generated hosts and resolv.conf files are kept below root.
func New(client *worker.Client, root string, dns *oci.DNSConfig) (*Executor, error) {
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, err
	}
	opened, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	return &Executor{client: client, root: opened, dns: dns}, nil
}

// undo collects what is to be released, last first.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

func (u undo) run() {
	for i := len(u) - 1; i >= 0; i-- {
		u[i]()
	}
}

// overlay reads an overlay mount as a snapshot of the protocol; nil: it is none.
func overlay(m mount.Mount) map[string]any {
	if m.Type != "overlay" && !strings.HasSuffix(m.Type, "fuse-overlayfs") {
		return nil
	}
	found := map[string]any{}
	for _, option := range m.Options {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "lowerdir":
			if strings.Contains(value, `\`) || strings.Contains(value, "::") {
				return nil
			}
			found["lower"] = strings.Split(value, ":")
		case "upperdir":
			found["upper"] = value
		case "workdir":
			found["work"] = value
		}
	}
	if found["lower"] == nil {
		return nil
	}
	if m.Type != "overlay" {
		found["driver"] = "fuse"
	}
	return found
}

// source says where a file tree comes from: {"path"} or {"snapshot"}. With a selector, and for
// anything but a bind and an overlay, BuildKit mounts it and a path is used.
func source(ctx context.Context, m executor.Mount, u *undo) (map[string]any, error) {
	ref, err := m.Src.Mount(ctx, m.Readonly)
	if err != nil {
		return nil, err
	}
	mounts, release, err := ref.Mount()
	if err != nil {
		return nil, err
	}
	if release != nil {
		u.add(func() { release() })
	}
	if len(mounts) == 1 && m.Selector == "" {
		if found := overlay(mounts[0]); found != nil {
			return map[string]any{"snapshot": found}, nil
		}
	}
	if len(mounts) == 1 && (mounts[0].Type == "bind" || mounts[0].Type == "rbind") {
		return map[string]any{"path": mounts[0].Source}, nil
	}
	local := snapshot.LocalMounterWithMounts(mounts)
	path, err := local.Mount()
	if err != nil {
		return nil, err
	}
	u.add(func() { local.Unmount() })
	return map[string]any{"path": path}, nil
}

func mountParams(ctx context.Context, mounts []executor.Mount, u *undo) ([]map[string]any, error) {
	var list []map[string]any
	for _, m := range mounts {
		from, err := source(ctx, m, u)
		if err != nil {
			return nil, err
		}
		params := map[string]any{"dest": m.Dest, "readonly": m.Readonly}
		if !strings.HasPrefix(m.Dest, "/") {
			params["dest"] = "/" + m.Dest
		}
		if path, ok := from["path"]; ok {
			params["src"] = path
		} else {
			params["snapshot"] = from["snapshot"]
		}
		if m.Selector != "" {
			params["selector"] = m.Selector
		}
		list = append(list, params)
	}
	return list, nil
}

func processParams(meta executor.Meta) map[string]any {
	process := map[string]any{"args": meta.Args, "env": meta.Env, "cwd": meta.Cwd, "tty": meta.Tty,
		"noNewPrivileges": false}
	if meta.Cwd == "" {
		process["cwd"] = "/"
	}
	if meta.Env == nil {
		process["env"] = []string{}
	}
	if meta.User != "" {
		process["user"] = meta.User
	}
	var limits []map[string]any
	for _, limit := range meta.Ulimit {
		limits = append(limits, map[string]any{"type": strings.ToUpper(limit.Name), "soft": limit.Soft, "hard": limit.Hard})
	}
	if limits != nil {
		process["rlimits"] = limits
	}
	return process
}

func cgroupParams(meta executor.Meta) map[string]any {
	if meta.CgroupParent == "" && meta.LinuxResources == nil {
		return nil
	}
	cgroup := map[string]any{}
	if meta.CgroupParent != "" {
		cgroup["parent"] = meta.CgroupParent
	}
	if r := meta.LinuxResources; r != nil {
		resources := map[string]any{}
		for key, value := range map[string]int64{"memory": r.Memory, "memorySwap": r.MemorySwap,
			"cpuShares": int64(r.CpuShares), "cpuPeriod": int64(r.CpuPeriod), "cpuQuota": r.CpuQuota} {
			if value != 0 {
				resources[key] = value
			}
		}
		for key, value := range map[string]string{"cpusetCpus": r.CpusetCpus, "cpusetMems": r.CpusetMems} {
			if value != "" {
				resources[key] = value
			}
		}
		cgroup["resources"] = resources
	}
	return cgroup
}

// streams of a process: pipes whose other ends the step gets, or messages with a terminal.
type streams struct {
	params map[string]any
	files  []*os.File
	copied sync.WaitGroup
}

func (s *streams) close() {
	for _, file := range s.files {
		file.Close()
	}
}

// output makes a pipe and copies what comes out of it. What nobody wants goes to /dev/null.
func (s *streams) output(fds map[string]any, name string, to io.WriteCloser) error {
	if to == nil {
		return nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	fds[name] = len(s.files)
	s.files = append(s.files, writer)
	s.copied.Add(1)
	go func() {
		defer s.copied.Done()
		defer reader.Close()
		defer to.Close()
		if _, err := io.Copy(to, reader); err != nil {
			io.Copy(io.Discard, reader) // the step must not block because its reader is gone
		}
	}()
	return nil
}

// input copies into a pipe. It ends with its source or with the step, whatever comes first.
func (s *streams) input(fds map[string]any, from io.ReadCloser) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	fds["stdin"] = len(s.files)
	s.files = append(s.files, reader)
	go func() {
		defer writer.Close()
		defer from.Close()
		io.Copy(writer, from)
	}()
	return nil
}

func openStreams(process executor.ProcessInfo) (*streams, error) {
	s := &streams{}
	if process.Meta.Tty {
		s.params = map[string]any{"stdin": process.Stdin != nil, "window": 0}
		return s, nil
	}
	fds := map[string]any{}
	s.params = map[string]any{"inband": false, "fds": fds}
	err := s.output(fds, "stdout", process.Stdout)
	if err == nil {
		err = s.output(fds, "stderr", process.Stderr)
	}
	if err == nil && process.Stdin != nil {
		err = s.input(fds, process.Stdin)
	}
	if err != nil {
		s.close()
	}
	return s, err
}

// attend forwards signals and sizes, and a terminal's input, until the step is done.
func (e *Executor) attend(name string, process executor.ProcessInfo, started, done <-chan struct{}) {
	select {
	case <-started:
	case <-done:
		return
	}
	if process.Meta.Tty && process.Stdin != nil {
		go e.type_(name, process.Stdin)
	}
	for {
		select {
		case <-done:
			return
		case size, ok := <-process.Resize:
			if !ok {
				process.Resize = nil
				continue
			}
			e.client.Notify("step.resize", map[string]any{"step": name, "rows": size.Rows, "cols": size.Cols})
		case number, ok := <-process.Signal:
			if !ok {
				process.Signal = nil
				continue
			}
			e.client.Call(context.Background(), "step.signal", map[string]any{
				"step": name, "signal": strings.TrimPrefix(unix.SignalName(number), "SIG")})
		}
	}
}

// type_ sends a terminal's input. People type less than the window, so no credit is counted.
func (e *Executor) type_(name string, from io.ReadCloser) {
	defer from.Close()
	var off uint64
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		params := map[string]any{"step": name, "off": off, "eof": err != nil,
			"data": base64.StdEncoding.EncodeToString(buffer[:n])}
		if e.client.Notify("step.stdin", params) != nil || err != nil {
			return
		}
		off += uint64(n)
	}
}

func (e *Executor) run(ctx context.Context, method, name string, params map[string]any, process executor.ProcessInfo, started chan<- struct{}) error {
	s, err := openStreams(process)
	if err != nil {
		return err
	}
	params["io"] = s.params
	up, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go e.attend(name, process, up, done)
	result, err := e.client.Run(ctx, method, name, params, func(event *worker.Event) {
		switch event.Method {
		case "step.started":
			once.Do(func() {
				close(up)
				if started != nil {
					close(started)
				}
			})
			s.close() // the step has them: the pipes end with it
		case "step.output":
			if process.Stdout != nil {
				process.Stdout.Write(event.Bytes())
			}
		}
	}, s.files...)
	close(done)
	s.close()
	s.copied.Wait()
	if err != nil {
		return startError(err)
	}
	return exitError(ctx, result, process.Meta.ValidExitCodes)
}

// startError keeps the status that a shell would give for a program that cannot be started.
func startError(err error) error {
	var refused *worker.Error
	if errors.As(err, &refused) && refused.Data.Kind == "exec-failed" {
		code := uint32(126)
		if refused.Data.RB == "RB0400" {
			code = 127
		}
		return &gatewayapi.ExitError{ExitCode: code, Err: err}
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
	if ctx.Err() != nil {
		exit.Err = context.Cause(ctx)
	}
	return exit
}

func netMode(mode pb.NetMode) string {
	if mode == pb.NetMode_NONE {
		return "none"
	}
	return "host" // that of the namespace around BuildKit: its launcher's network
}

// files adds hosts and resolv.conf as BuildKit makes them.
func (e *Executor) files(ctx context.Context, params map[string]any, meta executor.Meta, u *undo) error {
	resolv, err := oci.GetResolvConf(ctx, e.root, nil, e.dns, meta.NetMode)
	if err != nil {
		return err
	}
	hosts, release, err := oci.GetHostsFile(ctx, e.root, meta.ExtraHosts, nil, meta.Hostname)
	if err != nil {
		return err
	}
	if release != nil {
		u.add(release)
	}
	params["resolv"] = map[string]any{"path": e.path(resolv)}
	list, _ := params["mounts"].([]map[string]any)
	params["mounts"] = append(list, map[string]any{"dest": "/etc/hosts", "src": e.path(hosts)})
	return nil
}

func (e *Executor) path(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return e.root.Name() + "/" + name
}

func (e *Executor) stepParams(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, meta executor.Meta, u *undo) (map[string]any, error) {
	if len(meta.CDIDevices) > 0 {
		return nil, errors.New("CDI devices are not supported by this worker")
	}
	if meta.Proxy != nil {
		return nil, errors.New("network proxies are not supported by this worker")
	}
	rootfs, err := source(ctx, root, u)
	if err != nil {
		return nil, err
	}
	rootfs["readonly"] = meta.ReadonlyRootFS
	params := map[string]any{"step": id, "process": processParams(meta), "rootfs": rootfs,
		"net": map[string]any{"mode": netMode(meta.NetMode)}, "removeStubs": "leaf"}
	if meta.RemoveMountStubsRecursive {
		params["removeStubs"] = "recursive"
	}
	if params["mounts"], err = mountParams(ctx, mounts, u); err != nil {
		return nil, err
	}
	if meta.Hostname != "" {
		params["hostname"] = meta.Hostname
	}
	if meta.SecurityMode == pb.SecurityMode_INSECURE {
		params["security"] = map[string]any{"mode": "insecure"}
	}
	if cgroup := cgroupParams(meta); cgroup != nil {
		params["cgroup"] = cgroup
	}
	return params, e.files(ctx, params, meta, u)
}

// Run starts a step and waits for it.
func (e *Executor) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	var u undo
	defer func() { u.run() }()
	if id == "" {
		id = identity.NewID()
	}
	params, err := e.stepParams(ctx, id, root, mounts, process.Meta, &u)
	if err != nil {
		return nil, err
	}
	return nil, e.run(ctx, "step.run", id, params, process, started)
}

// Exec starts a further process in a running step.
func (e *Executor) Exec(ctx context.Context, id string, process executor.ProcessInfo) error {
	name := identity.NewID()
	params := map[string]any{"step": id, "exec": name, "process": processParams(process.Meta)}
	if err := e.run(ctx, "step.exec", name, params, process, nil); err != nil {
		return fmt.Errorf("exec in %s: %w", id, err)
	}
	return nil
}
