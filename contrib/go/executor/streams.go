// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"context"
	"encoding/base64"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/moby/buildkit/executor"
	"golang.org/x/sys/unix"
)

// window is how much of a terminal's stream may be on its way, in both directions.
const window = 1 << 18

// streams of a process: pipes whose other ends the process gets, or messages when it has a terminal.
type streams struct {
	call     call
	params   map[string]any
	files    []*os.File
	copied   sync.WaitGroup
	terminal *screen
	credit   *credit
}

func openStreams(c call, process executor.ProcessInfo) (*streams, error) {
	s := &streams{call: c, credit: newCredit()}
	if process.Meta.Tty {
		s.params = map[string]any{"stdin": process.Stdin != nil, "window": window}
		s.terminal = newScreen(process.Stdout, func(off uint64) {
			c.client.Notify("step.ack", map[string]any{"step": c.name, "fd": 1, "off": off})
		})
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
		s.finish()
	}
	return s, err
}

// close lets go of the ends that the process has.
func (s *streams) close() {
	for _, file := range s.files {
		file.Close()
	}
}

// finish waits for the last output.
func (s *streams) finish() {
	s.close()
	s.credit.end()
	s.copied.Wait()
	s.terminal.end()
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
	fds[name] = len(s.call.files) + len(s.files)
	s.files = append(s.files, writer)
	s.copied.Go(func() {
		defer reader.Close()
		if _, err := io.Copy(to, reader); err != nil {
			io.Copy(io.Discard, reader) // the process must not block because its reader is gone
		}
	})
	return nil
}

// input copies into a pipe. It ends with its source or with the process, whatever comes first.
func (s *streams) input(fds map[string]any, from io.ReadCloser) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	fds["stdin"] = len(s.call.files) + len(s.files)
	s.files = append(s.files, reader)
	go func() {
		defer writer.Close()
		io.Copy(writer, from)
	}()
	return nil
}

// attend forwards signals and sizes, and a terminal's input, until the process is done.
func (s *streams) attend(process executor.ProcessInfo, started, done <-chan struct{}) {
	select {
	case <-started:
	case <-done:
		return
	}
	if process.Meta.Tty && process.Stdin != nil {
		go s.type_(process.Stdin)
	}
	sizes, signals := process.Resize, process.Signal
	for {
		select {
		case <-done:
			return
		case size, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			s.call.client.Notify("step.resize",
				map[string]any{"step": s.call.name, "rows": size.Rows, "cols": size.Cols})
		case number, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			// it may be over by now, which is no error
			s.call.client.Call(context.Background(), "step.signal",
				map[string]any{"step": s.call.name, "signal": signalName(number)})
		}
	}
}

func signalName(number syscall.Signal) string {
	if name := unix.SignalName(number); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return "RTMIN+" + strconv.Itoa(int(number)-34)
}

// type_ sends a terminal's input, as much at once as the worker has credit for.
func (s *streams) type_(from io.ReadCloser) {
	var off uint64
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if !s.credit.wait(off + uint64(n)) {
			return
		}
		params := map[string]any{"step": s.call.name, "off": off, "eof": err != nil,
			"data": base64.StdEncoding.EncodeToString(buffer[:n])}
		if s.call.client.Notify("step.stdin", params) != nil || err != nil {
			return
		}
		off += uint64(n)
	}
}

// credit is how far the input may go.
type credit struct {
	mu    sync.Mutex
	moved *sync.Cond
	limit uint64
	ended bool
}

func newCredit() *credit {
	c := &credit{limit: window}
	c.moved = sync.NewCond(&c.mu)
	return c
}

func (c *credit) grow(consumed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = max(c.limit, consumed+window)
	c.moved.Broadcast()
}

func (c *credit) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.moved.Broadcast()
}

// wait is false when the process ended first.
func (c *credit) wait(off uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for off > c.limit && !c.ended {
		c.moved.Wait()
	}
	return !c.ended
}

// screen writes a terminal's output in a goroutine of its own: a reader that is slow stops this
// process by its window, and never the connection that all processes share.
type screen struct {
	mu      sync.Mutex
	moved   *sync.Cond
	pending []byte
	ended   bool
	done    chan struct{}
}

func newScreen(to io.Writer, ack func(uint64)) *screen {
	t := &screen{done: make(chan struct{})}
	t.moved = sync.NewCond(&t.mu)
	go t.show(to, ack)
	return t
}

func (t *screen) put(data []byte) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, data...)
	t.moved.Broadcast()
}

func (t *screen) take() ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.pending) == 0 && !t.ended {
		t.moved.Wait()
	}
	data := t.pending
	t.pending = nil
	return data, len(data) > 0
}

func (t *screen) show(to io.Writer, ack func(uint64)) {
	defer close(t.done)
	var off uint64
	for {
		data, more := t.take()
		if !more {
			return
		}
		if to != nil {
			if _, err := to.Write(data); err != nil {
				to = nil // nobody looks any more; the process goes on
			}
		}
		off += uint64(len(data))
		ack(off)
	}
}

func (t *screen) end() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.ended = true
	t.moved.Broadcast()
	t.mu.Unlock()
	<-t.done
}
