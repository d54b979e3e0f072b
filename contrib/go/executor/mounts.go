// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/snapshot"
)

// overlay reads an overlay mount as a snapshot of the protocol. nil: it is none, or one with an
// option that the protocol has no word for, so that BuildKit has to mount it.
func overlay(m mount.Mount) map[string]any {
	fuse := strings.HasSuffix(m.Type, "fuse-overlayfs")
	if m.Type != "overlay" && !fuse {
		return nil
	}
	found := map[string]any{"driver": "native"} // upper directories of the drivers do not mix
	if fuse {
		found["driver"] = "fuse"
	}
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
		case "volatile":
			found["options"] = []string{"volatile"}
		case "userxattr", "index", "rw":
			// what runbuild does by itself, or cannot matter to it
		default:
			return nil
		}
	}
	if found["lower"] == nil || (found["upper"] == nil) != (found["work"] == nil) {
		return nil
	}
	return found
}

// tmpfs is the same for a tmpfs.
func tmpfs(m mount.Mount) map[string]any {
	if m.Type != "tmpfs" {
		return nil
	}
	found := map[string]any{}
	for _, option := range m.Options {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "size":
			size, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return nil
			}
			found["size"] = size
		case "mode":
			mode, err := strconv.ParseUint(value, 8, 12)
			if err != nil {
				return nil
			}
			found["mode"] = mode
		case "nosuid", "nodev", "noexec", "ro":
			// mountOptions tells those
		default:
			return nil
		}
	}
	return found
}

// mountOptions keeps what a bind mount can be told beside "readonly".
func mountOptions(all []string) (readonly bool, options []string) {
	options = []string{}
	for _, option := range all {
		switch option {
		case "ro":
			readonly = true
		case "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "strictatime", "nosymfollow",
			"private", "rprivate", "slave", "rslave":
			options = append(options, option)
		}
	}
	return readonly, options
}

func isBind(m mount.Mount) bool { return m.Type == "bind" || m.Type == "rbind" }

// mountList asks BuildKit for the mounts of a source.
func mountList(ctx context.Context, m executor.Mount, readonly bool, u *undo) ([]mount.Mount, error) {
	if m.Src == nil {
		return nil, fmt.Errorf("mount %s has no source", m.Dest)
	}
	ref, err := m.Src.Mount(ctx, readonly)
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
	return mounts, nil
}

// local mounts on this side. The worker is a child in the same mount namespace, so it sees the path.
func local(mounts []mount.Mount, u *undo) (string, error) {
	mounter := snapshot.LocalMounterWithMounts(mounts)
	path, err := mounter.Mount()
	if err != nil {
		return "", err
	}
	u.add(func() { mounter.Unmount() })
	return path, nil
}

// rootParams describes the root. here: as a path that can be written from this side, too.
func rootParams(ctx context.Context, root executor.Mount, here bool, u *undo) (map[string]any, error) {
	mounts, err := mountList(ctx, root, false, u)
	if err != nil {
		return nil, err
	}
	if len(mounts) == 1 {
		if found := overlay(mounts[0]); found != nil && !here {
			return map[string]any{"snapshot": found}, nil
		}
		if isBind(mounts[0]) && !slices.Contains(mounts[0].Options, "ro") {
			return map[string]any{"path": mounts[0].Source}, nil
		}
	}
	path, err := local(mounts, u)
	return map[string]any{"path": path}, err
}

func oneMount(ctx context.Context, m executor.Mount, u *undo) (map[string]any, error) {
	mounts, err := mountList(ctx, m, m.Readonly, u)
	if err != nil {
		return nil, err
	}
	params := map[string]any{}
	readonly := false
	if len(mounts) == 1 {
		readonly, params["options"] = mountOptions(mounts[0].Options)
	}
	params["dest"] = "/" + strings.TrimPrefix(m.Dest, "/")
	params["readonly"] = m.Readonly || readonly
	selector := strings.Trim(m.Selector, "/")
	if len(mounts) == 1 && selector == "" {
		if found := overlay(mounts[0]); found != nil {
			params["snapshot"] = found
			return params, nil
		}
		if found := tmpfs(mounts[0]); found != nil {
			params["tmpfs"] = found
			return params, nil
		}
	}
	if selector != "" {
		params["selector"] = selector
	}
	if len(mounts) == 1 && isBind(mounts[0]) {
		params["src"] = mounts[0].Source
		return params, nil
	}
	params["src"], err = local(mounts, u)
	return params, err
}

func mountParams(ctx context.Context, mounts []executor.Mount, u *undo) ([]map[string]any, error) {
	var list []map[string]any
	for _, m := range mounts {
		params, err := oneMount(ctx, m, u)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", m.Dest, err)
		}
		list = append(list, params)
	}
	return list, nil
}
