// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build blob

// Package blob drives two collectors, an edge and a centre, over a real S3-compatible server (versitygw, on a folder) into the
// embedded ClickHouse. `make test-blob` builds what it needs.
package blob

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/freeport"
)

const (
	access, secret = "tailrace", "tailrace-secret"
	password       = "blob-password"
	name           = "telemetry" // of the bucket
)

// process is a program that a test kills and starts again with the same arguments.
type process struct {
	t    *testing.T
	args []string
	env  []string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

func build(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "..", "_build"}, parts...)...))
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "run `make test-blob`, which builds it")
	return path
}

func newProcess(t *testing.T, log string, env []string, args ...string) *process {
	p := &process{t: t, args: args, env: append(os.Environ(), env...), log: log}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("%s ends with:\n%s", filepath.Base(p.log), text[max(0, len(text)-6000):])
		}
	})
	return p
}

func (p *process) start() {
	p.t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer out.Close()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(p.t, p.cmd.Start())
	done, cmd := make(chan struct{}), p.cmd
	p.done = done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	p.cmd = nil
}

// stop ends it as Ctrl-C does.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		require.FailNow(p.t, "still running two minutes after SIGINT", p.log)
	}
	p.cmd = nil
}

func (p *process) logged(text string) bool {
	log, _ := os.ReadFile(p.log)
	return bytes.Contains(log, []byte(text))
}

func await(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.FailNow(t, "not "+what, err.Error())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// world is everything that runs.
type world struct {
	t        *testing.T
	dir      string
	s3       *process
	bucket   string // the folder that versitygw shows as a bucket
	endpoint string
	chHTTP   int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), chHTTP: freeport.For(t)}
	root := filepath.Join(w.dir, "s3")
	w.bucket = filepath.Join(root, name)
	require.NoError(t, os.MkdirAll(w.bucket, 0o750))
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, "metadata"), 0o750))
	port := freeport.For(t)
	w.endpoint = fmt.Sprintf("http://127.0.0.1:%d", port)
	w.s3 = newProcess(t, filepath.Join(w.dir, "s3.log"), []string{"ROOT_ACCESS_KEY=" + access, "ROOT_SECRET_KEY=" + secret},
		build(t, "object-store", "versitygw"), "--port", fmt.Sprintf("127.0.0.1:%d", port), "posix", "--sidecar", filepath.Join(w.dir, "metadata"), root)
	w.startS3()
	return w
}

func (w *world) startS3() {
	w.t.Helper()
	w.s3.start()
	await(w.t, "an S3 server", func() error {
		select {
		case <-w.s3.done:
			require.FailNow(w.t, "the S3 server has ended")
		default:
		}
		resp, err := http.Get(w.endpoint)
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
}

// collector is the distribution with object_store, and one of the configurations of testdata.
func (w *world) collector(config string, env ...string) *process {
	data := filepath.Join(w.dir, config)
	require.NoError(w.t, os.MkdirAll(data, 0o750))
	env = append(env,
		"DATA="+data, fmt.Sprintf("BUCKET=s3://%s?region=us-east-1&endpoint=%s&use_path_style=true", name, url.QueryEscape(w.endpoint)),
		"AWS_ACCESS_KEY_ID="+access, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_EC2_METADATA_DISABLED=true")
	config, err := filepath.Abs(filepath.Join("testdata", config+".yaml"))
	require.NoError(w.t, err)
	return newProcess(w.t, data+".log", env, build(w.t, "object-store", "tailrace"), "--config", config)
}

func (w *world) edge(otlp int) *process {
	return w.collector("edge", fmt.Sprintf("OTLP_HTTP=127.0.0.1:%d", otlp))
}

func (w *world) centre() *process {
	return w.collector("centre", fmt.Sprintf("CLICKHOUSE_TCP=%d", freeport.For(w.t)), fmt.Sprintf("CLICKHOUSE_HTTP=%d", w.chHTTP), "CLICKHOUSE_PASSWORD="+password,
		"CLICKHOUSE_HELPER="+build(w.t, "tailrace-clickhouse"))
}

// query asks the centre's ClickHouse; the answer's lines.
func (w *world) query(sql string) ([]string, error) {
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d", w.chHTTP), strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-ClickHouse-User", "tailrace")
	req.Header.Set("X-ClickHouse-Key", password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, text)
	}
	return strings.Fields(string(text)), nil
}

// send sends a log record and reports whether it was acknowledged.
func send(otlp int, project, body string) bool {
	text, _ := json.Marshal(map[string]any{"resourceLogs": []any{map[string]any{
		"resource": map[string]any{"attributes": []any{map[string]any{"key": "project.id", "value": map[string]any{"stringValue": project}}}},
		"scopeLogs": []any{map[string]any{"logRecords": []any{map[string]any{
			"timeUnixNano": fmt.Sprint(time.Now().UnixNano()), "severityNumber": 9, "body": map[string]any{"stringValue": body},
		}}}},
	}}})
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Post(fmt.Sprintf("http://127.0.0.1:%d/v1/logs", otlp), "application/json", bytes.NewReader(text))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}
