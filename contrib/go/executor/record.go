// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/resources"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/network"
	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// group is the path of a step's cgroup, BuildKit's own; "": it gets none.
func (e *Executor) group(id string, meta executor.Meta) (string, error) {
	parent := meta.CgroupParent
	if parent == "" {
		parent = e.DefaultCgroupParent
	}
	if e.Rootless || (parent == "" && meta.LinuxResources == nil && e.ResourceMonitor == nil) {
		return "", nil
	}
	if strings.HasSuffix(parent, ":") {
		return "", fmt.Errorf("cgroup parent %s is one for systemd, which the worker does not ask", parent)
	}
	return filepath.Join("/", parent, "buildkit", id), nil
}

// recorder samples a step's resources. The worker removes the step's group before it answers, and
// BuildKit's monitor reads the last sample afterwards: so what is watched is a group around it, made
// here, in which the kernel counts the step as well. It returns the path of the step's group. What
// is released later must stay until the last sample: the group, and the network.
func (e *Executor) recorder(group string, namespace network.Namespace, later *undo) (resourcestypes.Recorder, string, error) {
	if group == "" || e.ResourceMonitor == nil {
		return nil, group, nil
	}
	var fs unix.Statfs_t
	if unix.Statfs(cgroupRoot, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		directory := filepath.Join(cgroupRoot, group)
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return nil, "", err
		}
		later.add(func() {
			if err := os.Remove(directory); err != nil && !errors.Is(err, os.ErrNotExist) {
				bklog.L.Warnf("the group of a step stays: %v", err)
			}
		})
		rec, err := e.ResourceMonitor.RecordNamespace(group, resources.RecordOpt{NetworkSampler: namespace})
		return rec, filepath.Join(group, "step"), err
	}
	// without cgroup v2 the monitor records nothing
	rec, err := e.ResourceMonitor.RecordNamespace(group, resources.RecordOpt{})
	return rec, group, err
}

// finish hands a recorder on: it takes its last sample beside BuildKit's next steps, and what that
// needs goes after it. A step that failed has none.
func finish(rec resourcestypes.Recorder, failure error, later undo) (resourcestypes.Recorder, error) {
	if rec == nil || failure != nil {
		if rec != nil {
			rec.Close()
		}
		later.run()
		return nil, failure
	}
	return rec, rec.CloseAsync(func(context.Context) error {
		later.run()
		return nil
	})
}
