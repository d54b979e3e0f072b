// SPDX-License-Identifier: Apache-2.0

// Package worker is a client of the runbuild worker protocol: runbuild-protocol(7). It depends on
// the standard library only. A Client may be used by many goroutines.
package worker

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
)

// Error is the error object of an answer. Kind is the stable name.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    struct {
		Kind         string   `json:"kind"`
		Path         string   `json:"path"`
		Hint         string   `json:"hint"`
		RB           string   `json:"rb"`
		Errno        string   `json:"errno"` // its name
		Members      []string `json:"members"`
		ExitCodeHint int      `json:"exitCodeHint"`
	} `json:"data"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Data.Kind, e.Message) }

// ErrLost is what every open request gets when the connection ends.
var ErrLost = errors.New("worker-lost: the worker is gone")

// Result is the answer to step.run and step.exec. Code is nil when a signal ended the process.
type Result struct {
	Code      *int    `json:"code"`
	Signal    *string `json:"signal"`
	OK        bool    `json:"ok"`
	Cancelled bool    `json:"cancelled"`
	TimedOut  bool    `json:"timedOut"`
	OOM       *struct {
		Killed bool   `json:"killed"`
		Count  uint64 `json:"count"`
	} `json:"oom"`
	Reason string `json:"reason"` // of a step that was cancelled
	Record string `json:"record"` // for `runbuild replay`
}

// Event is a notification about a step. Of "step.warn" Kind and Note say what is not as asked for.
type Event struct {
	Method string
	Step   string `json:"step"`
	Exec   string `json:"exec"`
	FD     int    `json:"fd"`
	Off    uint64 `json:"off"`
	PID    int    `json:"pid"`
	Text   string `json:"text"`
	Data   string `json:"data"`
	Kind   string `json:"kind"`
	Note   string `json:"message"`
}

// Bytes are the raw bytes of a step.output.
func (e *Event) Bytes() []byte {
	if e.Data == "" {
		return []byte(e.Text)
	}
	raw, _ := base64.StdEncoding.DecodeString(e.Data)
	return raw
}

type answer struct {
	result json.RawMessage
	err    error
}

// Client is a connection to a worker.
type Client struct {
	conn    *net.UnixConn
	command *exec.Cmd
	write   sync.Mutex
	mu      sync.Mutex
	lastID  uint64
	pending map[uint64]chan answer
	events  map[string]func(*Event)
	lost    bool
	// features are set before anybody else has the client
	features []string
}

// Connect uses the socket of `runbuild worker --listen`.
func Connect(path string) (*Client, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return start(conn, nil)
}

// Spawn starts a worker of our own on a socket pair.
func Spawn(program string) (*Client, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "worker"), os.NewFile(uintptr(pair[1]), "peer")
	defer theirs.Close()
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	command := exec.Command(program, "worker", "--fd", "3")
	command.Stderr = os.Stderr
	command.ExtraFiles = []*os.File{theirs}
	if err := command.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	return start(conn.(*net.UnixConn), command)
}

func start(conn *net.UnixConn, command *exec.Cmd) (*Client, error) {
	c := &Client{conn: conn, command: command, pending: map[uint64]chan answer{}, events: map[string]func(*Event){}}
	go c.read()
	if err := c.hello(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) hello() error {
	var said struct {
		Features []string `json:"features"`
	}
	result, err := c.Call(context.Background(), "hello", map[string]any{"versions": []int{1}, "client": "go"})
	if err == nil {
		err = json.Unmarshal(result, &said)
	}
	c.features = said.Features
	return err
}

// Has tells whether the worker has a feature. Ask before relying on one.
func (c *Client) Has(feature string) bool { return slices.Contains(c.features, feature) }

// Lost tells that the connection has ended: every call would give ErrLost.
func (c *Client) Lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// Close ends the connection, and with it every step of it.
func (c *Client) Close() error {
	err := c.conn.Close()
	if c.command != nil {
		c.command.Wait()
	}
	return err
}

// read hands answers and events on until the connection ends. Without "io.fds" in hello the worker
// sends no descriptors, so plain reads are enough.
func (c *Client) read() {
	lines := bufio.NewReaderSize(c.conn, 1<<17)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var message struct {
			ID     *uint64         `json:"id"`
			Method string          `json:"method"`
			Result json.RawMessage `json:"result"`
			Error  *Error          `json:"error"`
			Params json.RawMessage `json:"params"`
		}
		if json.Unmarshal(line, &message) != nil {
			break
		}
		if message.Method != "" {
			c.dispatch(message.Method, message.Params)
		} else if message.ID != nil {
			done := answer{result: message.Result}
			if message.Error != nil {
				done.err = message.Error
			}
			c.finish(*message.ID, done)
		}
	}
	c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = true
	for id, waiting := range c.pending {
		waiting <- answer{err: ErrLost}
		delete(c.pending, id)
	}
}

func (c *Client) dispatch(method string, params json.RawMessage) {
	event := &Event{Method: method}
	if json.Unmarshal(params, event) != nil {
		return
	}
	name := event.Step
	if event.Exec != "" {
		name = event.Exec
	}
	c.mu.Lock()
	handle := c.events[name]
	c.mu.Unlock()
	if handle != nil {
		handle(event)
	}
}

func (c *Client) finish(id uint64, done answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting := c.pending[id]; waiting != nil {
		waiting <- done
		delete(c.pending, id)
	}
}

// send writes one line; all descriptors go with its first byte.
func (c *Client) send(message map[string]any, files []*os.File) error {
	if len(files) > 0 {
		message["fds"] = len(files)
	}
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, file := range files {
			fds[i] = int(file.Fd())
		}
		rights = syscall.UnixRights(fds...)
	}
	c.write.Lock()
	defer c.write.Unlock()
	n, _, err := c.conn.WriteMsgUnix(line, rights, nil)
	if err == nil && n < len(line) {
		_, err = c.conn.Write(line[n:])
	}
	return err
}

func (c *Client) request(method string, params any, files []*os.File) (chan answer, error) {
	waiting := make(chan answer, 1)
	c.mu.Lock()
	if c.lost {
		c.mu.Unlock()
		return nil, ErrLost
	}
	c.lastID++
	id := c.lastID
	c.pending[id] = waiting
	c.mu.Unlock()
	err := c.send(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params}, files)
	if err != nil {
		c.finish(id, answer{err: fmt.Errorf("%w: %w", ErrLost, err)})
	}
	return waiting, nil
}

// Call sends a request and waits for its answer. The end of ctx ends the waiting, not the request.
func (c *Client) Call(ctx context.Context, method string, params any, files ...*os.File) (json.RawMessage, error) {
	waiting, err := c.request(method, params, files)
	if err != nil {
		return nil, err
	}
	select {
	case done := <-waiting:
		return done.result, done.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Notify sends a message that has no answer.
func (c *Client) Notify(method string, params any) error {
	return c.send(map[string]any{"jsonrpc": "2.0", "method": method, "params": params}, nil)
}

// Acknowledge lets the worker send more of a stream: all up to this step.output was consumed. A
// stream whose output nobody acknowledges stops after its window, 256 KiB.
func (c *Client) Acknowledge(output *Event) error {
	name := output.Step
	if output.Exec != "" {
		name = output.Exec
	}
	return c.Notify("step.ack", map[string]any{"step": name, "fd": output.FD, "off": output.Off + uint64(len(output.Bytes()))})
}

// Run sends step.run or step.exec and waits for the result. name is the step's or exec's own name,
// whose events go to handle, one at a time, from the client's reading goroutine: it must not wait
// for another answer, and acknowledges output or has it acknowledged. When ctx ends the step is
// cancelled, and its result awaited.
func (c *Client) Run(ctx context.Context, method, name string, params any, handle func(*Event), files ...*os.File) (*Result, error) {
	c.mu.Lock()
	if c.events[name] != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("a step called %q is running", name) // its events are not ours
	}
	c.events[name] = handle
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.events, name)
		c.mu.Unlock()
	}()
	waiting, err := c.request(method, params, files)
	if err != nil {
		return nil, err
	}
	var done answer
	select {
	case done = <-waiting:
	case <-ctx.Done():
		c.Call(context.Background(), "step.cancel", map[string]any{"step": name, "reason": "context"})
		done = <-waiting
	}
	if done.err != nil {
		return nil, done.err
	}
	result := &Result{}
	return result, json.Unmarshal(done.result, result)
}
