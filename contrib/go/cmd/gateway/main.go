// SPDX-License-Identifier: Apache-2.0

// Command gateway does in a container what a debugger of builds does: gateway ADDRESS ROOT starts
// one on the files of ROOT through BuildKit's gateway API, runs further processes in it, types,
// resizes, sends signals, and prints one line for each.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/tonistiigi/fsutil"
)

type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

func status(err error) uint32 {
	var exit *gatewayapi.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode
	}
	if err != nil {
		log.Fatal(err)
	}
	return 0
}

func rootOf(ctx context.Context, c gateway.Client) (gateway.Reference, error) {
	files := llb.Scratch().File(llb.Copy(llb.Local("rootfs"), "/", "/"))
	definition, err := files.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	result, err := c.Solve(ctx, gateway.SolveRequest{Definition: definition.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	return result.SingleRef()
}

func shell(script string) gateway.StartRequest {
	return gateway.StartRequest{Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin"}, Cwd: "/"}
}

// further runs a process to its end. act may do something to it meanwhile.
func further(ctx context.Context, container gateway.Container, request gateway.StartRequest, act func(gateway.ContainerProcess) error) (string, error) {
	var out buffer
	request.Stdout, request.Stderr = &out, &buffer{}
	process, err := container.Start(ctx, request)
	if err != nil {
		return "", err
	}
	if act != nil {
		if err := act(process); err != nil {
			return "", err
		}
	}
	err = process.Wait()
	return fmt.Sprintf("%d %s", status(err), strings.Join(strings.Fields(out.String()), " ")), nil
}

func use(ctx context.Context, container gateway.Container) error {
	request := shell("echo first >/made; trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done")
	up, stdout := io.Pipe()
	request.Stdout = stdout
	first, err := container.Start(ctx, request)
	if err != nil {
		return err
	}
	up.Read(make([]byte, 16))
	typed := shell("cat; cat /made")
	typed.Stdin = io.NopCloser(strings.NewReader("typed\n"))
	terminal := shell(`until [ "$(stty size 2>/dev/null)" = "12 34" ]; do sleep 0.02; done; stty size`)
	terminal.Tty = true
	for _, each := range []struct {
		name    string
		request gateway.StartRequest
		act     func(gateway.ContainerProcess) error
	}{
		{"input", typed, nil},
		{"terminal", terminal, func(p gateway.ContainerProcess) error {
			return p.Resize(ctx, gateway.WinSize{Rows: 12, Cols: 34})
		}},
		{"signal", shell("trap 'exit 0' TERM; : >/ready; while :; do sleep 0.05; done"), func(p gateway.ContainerProcess) error {
			if _, err := further(ctx, container, shell("until [ -e /ready ]; do sleep 0.02; done"), nil); err != nil {
				return err
			}
			return p.Signal(ctx, syscall.SIGTERM)
		}},
	} {
		said, err := further(ctx, container, each.request, each.act)
		if err != nil {
			return err
		}
		fmt.Println(each.name, said)
	}
	// BuildKit ends the whole container with the first process that ends badly
	if err := first.Signal(ctx, syscall.SIGUSR1); err != nil {
		return err
	}
	fmt.Println("first", status(first.Wait()))
	return nil
}

func build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	root, err := rootOf(ctx, c)
	if err != nil {
		return nil, err
	}
	container, err := c.NewContainer(ctx, gateway.NewContainerRequest{
		Mounts: []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: root}}})
	if err != nil {
		return nil, err
	}
	defer container.Release(context.WithoutCancel(ctx))
	return gateway.NewResult(), use(ctx, container)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.New(ctx, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	files, err := fsutil.NewFS(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Build(ctx, client.SolveOpt{LocalMounts: map[string]fsutil.FS{"rootfs": files}}, "", build, nil)
	if err != nil {
		log.Fatal(err)
	}
}
