// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/network"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// behind is a network of BuildKit's proxy mode, without a proxy.
type behind struct {
	path   string
	ca     []byte
	closed bool
	config *network.ProxyConfig
}

func (b *behind) NewProxy(_ context.Context, config *network.ProxyConfig) (network.ProxyNamespace, error) {
	b.config = config
	return b, nil
}
func (b *behind) Close() error                                   { b.closed = true; return nil }
func (b *behind) Sample() (*resourcestypes.NetworkSample, error) { return nil, nil }
func (b *behind) ProxyEnv() []string                             { return []string{"HTTP_PROXY=http://192.0.2.1:3128"} }
func (b *behind) ProxyCACert() []byte                            { return b.ca }
func (b *behind) Set(spec *specs.Spec) error {
	spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: b.path}}
	return nil
}

func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// rootWithBundle is a root whose bundle of certificates is "own\n", as an overlay or as a directory.
func rootWithBundle(t *testing.T, root string, overlay bool) (m executor.Mount, written string) {
	t.Helper()
	top := t.TempDir()
	for _, name := range []string{"u", "w", "l/etc/ssl/certs"} {
		os.MkdirAll(top+"/"+name, 0o755)
	}
	os.WriteFile(top+"/l/etc/ssl/certs/ca-certificates.crt", []byte("own\n"), 0o644)
	if overlay {
		return executor.Mount{Src: mountable{tree{[]mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{
			"lowerdir=" + top + "/l:" + root, "upperdir=" + top + "/u", "workdir=" + top + "/w", "userxattr"}}}}}}, top + "/u"
	}
	os.MkdirAll(top+"/l/bin", 0o755)
	program, _ := os.ReadFile(root + "/bin/busybox")
	os.WriteFile(top+"/l/bin/sh", program, 0o755)
	os.WriteFile(top+"/l/bin/cat", program, 0o755)
	os.WriteFile(top+"/l/bin/readlink", program, 0o755)
	return bind(top + "/l"), top + "/l"
}

func TestAStepBehindAProxyKnowsAndTrustsIt(t *testing.T) {
	for _, overlay := range []bool{true, false} {
		e, root := setUp(t)
		provider := &behind{path: freshNetwork(t), ca: certificate(t)}
		e.Proxy = provider
		m, written := rootWithBundle(t, root, overlay)
		out := &buffer{}
		process := shell("echo $HTTP_PROXY; readlink /proc/self/ns/net; cat /etc/ssl/certs/ca-certificates.crt; echo >>/mark", out)
		process.Meta.NetMode, process.Meta.Proxy = pb.NetMode_UNSET, &network.ProxyConfig{Capture: network.NewProxyCapture()}
		if _, err := e.Run(context.Background(), "", m, nil, process, nil); err != nil {
			t.Fatal(err)
		}
		wanted, _ := os.Readlink(provider.path)
		if !strings.HasPrefix(out.String(), "http://192.0.2.1:3128\n"+wanted+"\nown\n") || !strings.Contains(out.String(), string(provider.ca)) {
			t.Fatalf("overlay %v: %q", overlay, out.String())
		}
		if !provider.closed || provider.config.Capture != process.Meta.Proxy.Capture {
			t.Fatal("the network was not asked for, or not given back")
		}
		// nothing of the certificate stays in the image
		if text, err := os.ReadFile(written + "/etc/ssl/certs/ca-certificates.crt"); err != nil || string(text) != "own\n" {
			t.Fatalf("overlay %v: %v, %q", overlay, err, text)
		}
		if _, err := os.Stat(written + "/mark"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnExecBehindAProxyKnowsItToo(t *testing.T) {
	e, root := setUp(t)
	e.Proxy = &behind{path: freshNetwork(t)}
	started, done := make(chan struct{}), make(chan error)
	process := shell("read x", &buffer{})
	reader, writer := io.Pipe()
	process.Stdin, process.Meta.Proxy = reader, &network.ProxyConfig{}
	go func() {
		_, err := e.Run(context.Background(), "behind", bind(root), nil, process, started)
		done <- err
	}()
	<-started
	out := &buffer{}
	inner := shell("echo $HTTP_PROXY", out)
	inner.Meta.Env = nil
	if err := e.Exec(context.Background(), "behind", inner); err != nil || out.String() != "http://192.0.2.1:3128\n" {
		t.Fatalf("%v, %q", err, out.String())
	}
	writer.Write([]byte("\n"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAProxyIsRefusedWithoutAProvider(t *testing.T) {
	e, root := setUp(t)
	process := shell("true", &buffer{})
	process.Meta.Proxy = &network.ProxyConfig{}
	if _, err := e.Run(context.Background(), "", bind(root), nil, process, nil); err == nil {
		t.Fatal("a step without the proxy that it asks for")
	}
}
