// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/util/tracing/childprocess"
)

// tracingSocket is where a step finds the socket that takes its traces, as with BuildKit's executor.
const tracingSocket = "/dev/otel-grpc.sock"

var tracingEnv = []string{
	"OTEL_TRACES_EXPORTER=otlp",
	"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=unix://" + tracingSocket,
	"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc",
}

// trace lets the programs of a step send traces that belong to the build's. What a build has set
// itself stays, so that it can have none. A socket that is not there (any more) is no error.
func (e *Executor) trace(ctx context.Context, meta *executor.Meta) []map[string]any {
	if e.TracingSocket == "" {
		return nil
	}
	env := slices.Clone(meta.Env)
	for _, variable := range tracingEnv {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.ContainsFunc(env, func(each string) bool { return strings.HasPrefix(each, name+"=") }) {
			env = append(env, variable)
		}
	}
	meta.Env = append(env, childprocess.Environ(ctx)...)
	if _, err := os.Stat(e.TracingSocket); err != nil {
		return nil
	}
	return []map[string]any{{"dest": tracingSocket, "src": e.TracingSocket, "readonly": true}}
}
