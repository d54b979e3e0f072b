// SPDX-License-Identifier: Apache-2.0

// Command solver is BuildKit's solver with its steps run by a runbuild worker, and nothing else: one
// worker, the Dockerfile frontend, buildctl's API on a unix socket.
//
//	runbuild rootless -- solver -root DIR -addr SOCKET -runbuild /usr/bin/runbuild
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/network/cniprovider"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	"google.golang.org/grpc"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"runbuild.invalid/contrib/go/executor"
	client "runbuild.invalid/contrib/go/worker"
)

type options struct {
	root, addr, runbuild, snapshotter string
	entitlements                      []string
	cdi, traces                       string
}

func snapshotter(name string) (runc.SnapshotterFactory, error) {
	factory := runc.SnapshotterFactory{Name: name}
	switch name {
	case "overlayfs":
		factory.New = func(root string) (snapshots.Snapshotter, error) {
			return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
		}
	case "native":
		factory.New = native.NewSnapshotter
	default:
		return factory, fmt.Errorf("unknown snapshotter %q: overlayfs or native", name)
	}
	return factory, nil
}

func cdiManager(directory string) (*cdidevices.Manager, error) {
	if directory == "" {
		return nil, nil
	}
	cache, err := cdi.NewCache(cdi.WithSpecDirs(directory))
	if err != nil {
		return nil, err
	}
	return cdidevices.NewManager(cache, nil), nil
}

// newWorker is BuildKit's own worker, with the executor taken out and ours put in its place. It is
// rootless: uid 0 of a user namespace, without cgroups of its own.
func newWorker(ctx context.Context, o options) (*base.Worker, *executor.Executor, error) {
	factory, err := snapshotter(o.snapshotter)
	if err != nil {
		return nil, nil, err
	}
	devices, err := cdiManager(o.cdi)
	if err != nil {
		return nil, nil, err
	}
	opt, err := runc.NewWorkerOpt(o.root, factory, true, oci.ProcessSandbox, nil, nil,
		netproviders.Opt{Mode: "host", CNI: cniprovider.Opt{Root: o.root}}, nil, o.runbuild, "", false, nil, "", "", devices)
	if err != nil {
		return nil, nil, err
	}
	steps, err := executor.New(executor.Options{
		Connect:  func() (*client.Client, error) { return client.Spawn(o.runbuild) },
		Root:     filepath.Join(opt.Root, "executor"),
		Networks: opt.NetworkProviders,
		Proxy:    opt.ProxyProvider,
		CDI:      devices,
		Rootless: true,

		TracingSocket: o.traces,
	})
	if err != nil {
		return nil, nil, err
	}
	opt.Executor = steps
	w, err := base.NewWorker(ctx, opt)
	return w, steps, err
}

func newController(o options, w *base.Worker) (*control.Controller, error) {
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(o.root, "cache.db"))
	if err != nil {
		return nil, err
	}
	history, err := boltutil.Open(filepath.Join(o.root, "history.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	return control.NewController(control.Opt{
		SessionManager:            sessions,
		WorkerController:          workers,
		Frontends:                 map[string]frontend.Frontend{"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build)},
		CacheManager:              solver.NewCacheManager(context.Background(), "local", cache, worker.NewCacheResultStorage(workers)),
		CacheStore:                cache,
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{},
		HistoryDB:                 history,
		LeaseManager:              w.LeaseManager(),
		ContentStore:              w.ContentStore(),
		GarbageCollect:            w.GarbageCollect,
		Entitlements:              o.entitlements,
		GracefulStop:              make(chan struct{}),
	})
}

func run(ctx context.Context, o options) error {
	if err := os.MkdirAll(o.root, 0o700); err != nil {
		return err
	}
	w, steps, err := newWorker(ctx, o)
	if err != nil {
		return err
	}
	defer steps.Close() // waits for the worker to remove what it had mounted
	controller, err := newController(o, w)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", strings.TrimPrefix(o.addr, "unix://"))
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	controller.Register(server)
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	return server.Serve(listener)
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", "", "state directory")
	flag.StringVar(&o.addr, "addr", "", "socket for buildctl")
	flag.StringVar(&o.runbuild, "runbuild", "/usr/bin/runbuild", "the worker's program")
	flag.StringVar(&o.snapshotter, "snapshotter", "overlayfs", "overlayfs or native")
	flag.StringVar(&o.cdi, "cdi-spec-dir", "", "directory of CDI specifications; none: no CDI devices")
	flag.StringVar(&o.traces, "trace-socket", "", "socket of an OpenTelemetry collector (gRPC), for what runs in steps")
	flag.Func("allow-insecure-entitlement", "network.host, security.insecure or device; may be repeated", func(name string) error {
		o.entitlements = append(o.entitlements, name)
		return nil
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, o); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}
