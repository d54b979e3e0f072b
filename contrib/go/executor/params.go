// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/network"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// defaultHostname is BuildKit's.
const defaultHostname = "buildkitsandbox"

// request is what the worker is asked for: the parameters of step.run, the descriptors that go with
// them, and who records what the step uses, or nil.
type request struct {
	params   map[string]any
	files    []*os.File
	recorder resourcestypes.Recorder
}

// stepParams is BuildKit's description of a step in words of the protocol. What networks, devices and
// traces add to the environment is added to meta. What later releases is needed by the recorder.
func (e *Executor) stepParams(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, meta *executor.Meta, u, later *undo) (request, error) {
	var r request
	namespace, err := e.namespace(ctx, meta, later)
	if err != nil {
		return r, err
	}
	rootfs, err := rootBehindProxy(ctx, root, namespace, meta, u)
	if err != nil {
		return r, err
	}
	rootfs["readonly"] = meta.ReadonlyRootFS || root.Readonly
	list, err := e.files(ctx, meta, u)
	if err != nil {
		return r, err
	}
	more, err := mountParams(ctx, mounts, u)
	if err != nil {
		return r, err
	}
	r.params = e.sandboxParams(id, meta)
	r.params["rootfs"] = rootfs
	r.params["mounts"] = slices.Concat(list, more, e.trace(ctx, meta))
	group, err := e.group(id, *meta)
	if err != nil {
		return r, err
	}
	if r.recorder, group, err = e.recorder(group, namespace, later); err != nil {
		return r, err
	}
	if cgroup := cgroupParams(*meta, group); cgroup != nil {
		r.params["cgroup"] = cgroup
	}
	if err := e.inject(r.params, meta); err != nil {
		return r, err
	}
	r.params["process"] = e.processParams(*meta)
	r.files, err = networkParams(namespace, r.params, meta.NetMode, u)
	return r, err
}

// sandboxParams is what a step is called and how it is shut in.
func (e *Executor) sandboxParams(id string, meta *executor.Meta) map[string]any {
	params := map[string]any{"step": id, "hostname": defaultHostname, "removeStubs": "leaf"}
	if meta.Hostname != "" {
		params["hostname"] = meta.Hostname
	}
	if meta.RemoveMountStubsRecursive {
		params["removeStubs"] = "recursive"
	}
	if meta.SecurityMode == pb.SecurityMode_INSECURE {
		params["security"] = map[string]any{"mode": "insecure"}
	}
	if e.ProcessMode == oci.NoProcessSandbox {
		params["pid"] = "host"
	}
	return params
}

func (e *Executor) processParams(meta executor.Meta) map[string]any {
	process := map[string]any{"args": meta.Args, "env": meta.Env, "cwd": meta.Cwd, "tty": meta.Tty,
		"noNewPrivileges": false}
	if meta.Cwd == "" {
		process["cwd"] = "/"
	}
	if meta.Env == nil {
		process["env"] = []string{}
	}
	if uid, gid, err := oci.ParseUIDGID(meta.User); err == nil {
		process["user"] = map[string]any{"uid": uid, "gid": gid, "additionalGids": []uint32{gid}}
	} else {
		process["user"] = meta.User // the worker finds it in the image, its groups too
	}
	var limits []map[string]any
	for _, limit := range meta.Ulimit {
		if limit != nil {
			limits = append(limits, map[string]any{"type": strings.ToUpper(limit.Name), "soft": limit.Soft, "hard": limit.Hard})
		}
	}
	if limits != nil {
		process["rlimits"] = limits
	}
	if e.OOMScoreAdj != nil {
		process["oomScoreAdj"] = *e.OOMScoreAdj
	}
	if e.ApparmorProfile != "" && meta.SecurityMode != pb.SecurityMode_INSECURE {
		process["apparmor"] = e.ApparmorProfile
	}
	return process
}

func cgroupParams(meta executor.Meta, group string) map[string]any {
	if group == "" {
		return nil
	}
	cgroup := map[string]any{"path": group}
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

// files are hosts and resolv.conf as BuildKit makes them; they come before the step's own mounts.
func (e *Executor) files(ctx context.Context, meta *executor.Meta, u *undo) ([]map[string]any, error) {
	resolv, err := oci.GetResolvConf(ctx, e.root, nil, e.DNS, meta.NetMode)
	if err != nil {
		return nil, err
	}
	hosts, release, err := oci.GetHostsFile(ctx, e.root, meta.ExtraHosts, nil, meta.Hostname)
	if err != nil {
		return nil, err
	}
	if release != nil {
		u.add(release)
	}
	options := []string{"nosuid", "nodev", "noexec"}
	return []map[string]any{
		{"dest": "/etc/resolv.conf", "src": e.path(resolv), "readonly": true, "options": options},
		{"dest": "/etc/hosts", "src": e.path(hosts), "readonly": true, "options": options},
	}, nil
}

func (e *Executor) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(e.root.Name(), name)
}

// namespace asks BuildKit's provider for a network; nil: there is none to ask.
func (e *Executor) namespace(ctx context.Context, meta *executor.Meta, u *undo) (network.Namespace, error) {
	var namespace network.Namespace
	var err error

	if meta.Proxy != nil {
		if e.Proxy == nil {
			return nil, errors.New("proxy network provider is not available")
		}
		namespace, err = e.Proxy.NewProxy(ctx, &network.ProxyConfig{Policy: meta.Proxy.Policy,
			Capture: meta.Proxy.Capture, EgressMode: meta.NetMode})
	} else if e.Networks == nil {
		return nil, nil
	} else if provider := e.Networks[meta.NetMode]; provider == nil {
		return nil, fmt.Errorf("unknown network mode %s", meta.NetMode)
	} else {
		namespace, err = provider.New(ctx, meta.Hostname, network.NamespaceOptions{})
	}
	if err != nil {
		return nil, err
	}
	u.add(func() { namespace.Close() })
	return namespace, nil
}

// rootBehindProxy lets a step find the proxy of its network and trust it, as BuildKit does: by
// variables, and by a certificate in the root's own bundle that is taken out again at the end. For
// that the root is mounted here; other roots are the worker's to mount.
func rootBehindProxy(ctx context.Context, root executor.Mount, namespace network.Namespace, meta *executor.Meta, u *undo) (map[string]any, error) {
	proxy, ok := namespace.(network.ProxyNamespace)
	if !ok {
		return rootParams(ctx, root, false, u)
	}
	meta.Env = append(slices.Clone(meta.Env), proxy.ProxyEnv()...)
	rootfs, err := rootParams(ctx, root, true, u)
	if err != nil {
		return nil, err
	}
	clean, err := executor.InjectProxyCA(rootfs["path"].(string), proxy.ProxyCACert())
	if err != nil {
		return nil, err
	}
	u.add(func() { clean() })
	return rootfs, nil
}

// networkParams reads what a namespace writes into an OCI configuration. That says which network it
// is: a namespace with a path, one without (a fresh one), or none (the daemon's).
func networkParams(namespace network.Namespace, params map[string]any, mode pb.NetMode, u *undo) ([]*os.File, error) {
	if namespace == nil {
		params["net"] = map[string]any{"mode": "host"}
		if mode == pb.NetMode_NONE {
			params["net"] = map[string]any{"mode": "none"}
		}
		return nil, nil
	}
	spec := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}}}
	if err := namespace.Set(spec); err != nil {
		return nil, err
	}
	return networkOf(spec, params, u)
}

func networkOf(spec *specs.Spec, params map[string]any, u *undo) ([]*os.File, error) {
	params["net"] = map[string]any{"mode": "host"}
	for _, n := range spec.Linux.Namespaces {
		if n.Type != specs.NetworkNamespace {
			continue
		}
		if n.Path == "" {
			params["net"] = map[string]any{"mode": "none"}
			return nil, nil
		}
		file, err := os.Open(n.Path)
		if err != nil {
			return nil, err
		}
		u.add(func() { file.Close() })
		params["net"] = map[string]any{"mode": "netns", "netnsFd": 0}
		return []*os.File{file}, nil
	}
	return nil, nil
}

// inject lets BuildKit resolve the names of CDI devices and takes over what the protocol has a word
// for: devices, mounts and variables. Hooks would run as the daemon's user, outside of the step.
func (e *Executor) inject(params map[string]any, meta *executor.Meta) error {
	if len(meta.CDIDevices) == 0 {
		return nil
	}
	if e.CDI == nil {
		return errors.New("CDI devices are not enabled in this daemon")
	}
	spec := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}
	if err := e.CDI.Refresh(); err != nil {
		return err
	}
	if err := e.CDI.InjectDevices(spec, meta.CDIDevices...); err != nil {
		return fmt.Errorf("CDI device injection failed: %w", err)
	}
	if spec.Hooks != nil {
		return errors.New("a CDI device that wants hooks is not supported by this executor")
	}
	meta.Env = append(append([]string{}, meta.Env...), spec.Process.Env...)
	list := params["mounts"].([]map[string]any)
	for _, m := range spec.Mounts {
		readonly, options := mountOptions(m.Options)
		list = append(list, map[string]any{"dest": m.Destination, "src": m.Source, "readonly": readonly, "options": options})
	}
	params["mounts"] = list
	if devices := deviceParams(spec.Linux.Devices); devices != nil {
		params["devices"] = devices
	}
	return nil
}

func deviceParams(devices []specs.LinuxDevice) []map[string]any {
	var list []map[string]any
	for _, d := range devices {
		device := map[string]any{"path": d.Path, "type": d.Type, "major": d.Major, "minor": d.Minor}
		if d.FileMode != nil {
			device["mode"] = uint32(d.FileMode.Perm())
		}
		if d.UID != nil {
			device["uid"] = *d.UID
		}
		if d.GID != nil {
			device["gid"] = *d.GID
		}
		list = append(list, device)
	}
	return list
}
