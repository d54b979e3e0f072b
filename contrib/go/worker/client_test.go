// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tests need a runbuild in RUNBUILD and a root file system with a shell in RUNBUILD_TEST_ROOT,
// and uid 0 of a user namespace: runbuild rootless -- go test ./...

func setUp(t *testing.T) (*Client, string) {
	t.Helper()
	program, root := os.Getenv("RUNBUILD"), os.Getenv("RUNBUILD_TEST_ROOT")
	if program == "" || root == "" {
		t.Skip("RUNBUILD or RUNBUILD_TEST_ROOT is not set")
	}
	client, err := Spawn(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, root
}

func step(root, name, script string) map[string]any {
	return map[string]any{"step": name, "rootfs": map[string]any{"path": root},
		"process": map[string]any{"args": []string{"sh", "-c", script}, "env": []string{"PATH=/bin"}}}
}

func TestManyStepsAtOnceKeepTheirOutputApart(t *testing.T) {
	client, root := setUp(t)
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			var out strings.Builder
			name := fmt.Sprint("s", n)
			result, err := client.Run(context.Background(), "step.run", name, step(root, name, fmt.Sprintf("echo %d; exit %d", n, n)),
				func(event *Event) {
					if event.Method == "step.output" {
						out.Write(event.Bytes())
					}
				})
			if err != nil || *result.Code != n || out.String() != fmt.Sprintln(n) {
				t.Errorf("%d: %v %v %q", n, err, result, out.String())
			}
		})
	}
	all.Wait()
}

func TestBytesThatAreNoText(t *testing.T) {
	client, root := setUp(t)
	var out []byte
	_, err := client.Run(context.Background(), "step.run", "b", step(root, "b", `printf '\377\000x'`), func(event *Event) {
		if event.Method == "step.output" {
			out = append(out, event.Bytes()...)
		}
	})
	if err != nil || string(out) != "\xff\x00x" {
		t.Fatalf("%v, %q", err, out)
	}
}

func TestMoreThanAWindowComesWhenItIsAcknowledged(t *testing.T) {
	client, root := setUp(t)
	total := 0
	_, err := client.Run(context.Background(), "step.run", "w", step(root, "w", "yes | head -c 700000"), func(event *Event) {
		if event.Method == "step.output" {
			total += len(event.Bytes())
			client.Acknowledge(event)
		}
	})
	if err != nil || total != 700000 {
		t.Fatal(err, total)
	}
}

func TestANameInUseIsRefusedAndTheFirstGoesOn(t *testing.T) {
	client, root := setUp(t)
	started, done := make(chan struct{}), make(chan error)
	var out strings.Builder
	params := step(root, "twice", "read x; echo $x; exit 3")
	params["io"] = map[string]any{"stdin": true}
	go func() {
		result, err := client.Run(context.Background(), "step.run", "twice", params, func(event *Event) {
			switch event.Method {
			case "step.started":
				close(started)
			case "step.output":
				out.Write(event.Bytes())
			}
		})
		if err == nil && *result.Code != 3 {
			err = fmt.Errorf("code %d", *result.Code)
		}
		done <- err
	}()
	<-started
	if _, err := client.Run(context.Background(), "step.run", "twice", params, func(*Event) {}); err == nil {
		t.Fatal("it ran twice")
	}
	client.Notify("step.stdin", map[string]any{"step": "twice", "off": 0, "text": "more\n"})
	if err := <-done; err != nil || out.String() != "more\n" {
		t.Fatal(err, out.String())
	}
}

func TestAnErrorNamesTheErrno(t *testing.T) {
	client, _ := setUp(t)
	_, err := client.Call(context.Background(), "step.run", step("/no/such/root", "x", "true"))
	var refused *Error
	if !errors.As(err, &refused) || refused.Data.Errno != "ENOENT" || refused.Data.Hint == "" || client.Lost() {
		t.Fatal(err)
	}
}

func TestFeaturesAreKnown(t *testing.T) {
	client, _ := setUp(t)
	if !client.Has("io.fds") || client.Has("io.telepathy") {
		t.Fatal(client.features)
	}
}

func TestARefusalHasItsKind(t *testing.T) {
	client, _ := setUp(t)
	_, err := client.Call(context.Background(), "step.run", map[string]any{"step": "x", "new": 1})
	var refused *Error
	if !errors.As(err, &refused) || refused.Data.Kind != "unknown-member" || refused.Code != -32602 || fmt.Sprint(refused.Data.Members) != "[/new]" {
		t.Fatal(err)
	}
}

func TestTheEndOfTheContextCancelsAndWaitsForTheResult(t *testing.T) {
	client, root := setUp(t)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	result, err := client.Run(ctx, "step.run", "c", step(root, "c", "exec sleep 1000"), func(*Event) {})
	if err != nil && !strings.Contains(err.Error(), "cancelled-before-start") {
		t.Fatal(err)
	}
	if err == nil && !result.Cancelled {
		t.Fatal(result)
	}
}

func TestALostWorkerEndsEveryRequest(t *testing.T) {
	client, root := setUp(t)
	_, err := client.Run(context.Background(), "step.run", "l", step(root, "l", "exec sleep 1000"), func(event *Event) {
		if event.Method == "step.started" {
			client.command.Process.Kill()
		}
	})
	if !errors.Is(err, ErrLost) || !client.Lost() {
		t.Fatal(err)
	}
	if _, err := client.Call(context.Background(), "ping", map[string]any{}); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
}
