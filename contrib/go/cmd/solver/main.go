// SPDX-License-Identifier: Apache-2.0

// Command solver is BuildKit's solver with its steps run by a runbuild worker, and nothing else: one
// worker, the Dockerfile frontend, buildctl's API on a unix socket.
//
//	runbuild rootless -- solver -root DIR -addr SOCKET -runbuild /usr/bin/runbuild
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/containerd/containerd/v2/core/snapshots"
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
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	"google.golang.org/grpc"

	"runbuild.invalid/contrib/go/executor"
	client "runbuild.invalid/contrib/go/worker"
)

// newWorker is BuildKit's own worker, with the executor taken out and ours put in its place.
func newWorker(ctx context.Context, root, runbuild string) (*base.Worker, error) {
	factory := runc.SnapshotterFactory{Name: "overlayfs", New: func(root string) (snapshots.Snapshotter, error) {
		return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
	}}
	opt, err := runc.NewWorkerOpt(root, factory, true, oci.ProcessSandbox, nil, nil,
		netproviders.Opt{Mode: "host"}, nil, runbuild, "", false, nil, "", "", nil)
	if err != nil {
		return nil, err
	}
	peer, err := client.Spawn(runbuild)
	if err != nil {
		return nil, err
	}
	if opt.Executor, err = executor.New(peer, filepath.Join(root, "executor"), nil); err != nil {
		return nil, err
	}
	return base.NewWorker(ctx, opt)
}

func newController(root string, w *base.Worker) (*control.Controller, error) {
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(root, "cache.db"))
	if err != nil {
		return nil, err
	}
	history, err := boltutil.Open(filepath.Join(root, "history.db"), 0o600, nil)
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
		GracefulStop:              make(chan struct{}),
	})
}

func run(ctx context.Context, root, addr, runbuild string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	w, err := newWorker(ctx, root, runbuild)
	if err != nil {
		return err
	}
	controller, err := newController(root, w)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", addr)
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
	root := flag.String("root", "", "state directory")
	addr := flag.String("addr", "", "socket for buildctl")
	runbuild := flag.String("runbuild", "/usr/bin/runbuild", "the worker's program")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *root, *addr, *runbuild); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}
