// SPDX-License-Identifier: Apache-2.0

// Command interop drives a worker with the JSON-RPC library of Debian's
// golang-github-sourcegraph-jsonrpc2-dev: interop SOCKET ROOT. It prints what a step said, its
// status, and the kind of a refusal.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// lines is the library's codec for a protocol of lines. Its own ones want a header, or decode each
// message with a new decoder, which loses what that read ahead.
type lines struct{}

func (lines) WriteObject(w io.Writer, v interface{}) error { return json.NewEncoder(w).Encode(v) }

func (lines) ReadObject(r *bufio.Reader, v interface{}) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

type output struct{ text strings.Builder }

func (o *output) Handle(_ context.Context, _ *jsonrpc2.Conn, request *jsonrpc2.Request) {
	var params struct{ Text string }
	if request.Method == "step.output" && json.Unmarshal(*request.Params, &params) == nil {
		o.text.WriteString(params.Text)
	}
}

type object = map[string]interface{}

func step(root, script string) object {
	return object{"step": "interop", "rootfs": object{"path": root},
		"process": object{"args": []string{"sh", "-c", script}, "env": []string{"PATH=/bin"}}}
}

func drive(socket, root string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	peer, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	said := &output{}
	conn := jsonrpc2.NewConn(ctx, jsonrpc2.NewBufferedStream(peer, lines{}), said)
	defer conn.Close()
	var hello struct{ Version int }
	if err := conn.Call(ctx, "hello", object{"versions": []int{1}}, &hello); err != nil {
		return err
	}
	var result struct{ Code int }
	// many small writes: several messages arrive in one read
	script := "for i in 1 2 3 4 5 6 7 8 9; do echo $i; done; exit 4"
	if err := conn.Call(ctx, "step.run", step(root, script), &result); err != nil {
		return err
	}
	var refused *jsonrpc2.Error
	if err := conn.Call(ctx, "step.signal", object{"step": "gone", "signal": "TERM"}, nil); !errors.As(err, &refused) {
		return fmt.Errorf("not refused: %v", err)
	}
	var data struct{ Kind string }
	if err := json.Unmarshal(*refused.Data, &data); err != nil {
		return err
	}
	fmt.Println(hello.Version, strings.ReplaceAll(said.text.String(), "\n", ""), result.Code, data.Kind)
	return nil
}

func main() {
	if err := drive(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
