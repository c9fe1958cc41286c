// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

const (
	// probeOutput is how much of what a command says is kept for the reason.
	probeOutput = 256
	// probeBody is how much of an answer is read, so that the server is not cut off in the middle of a short one.
	probeBody = 64 << 10
	// outputWait bounds the wait for a process that outlives a command and holds its output.
	outputWait = 100 * time.Millisecond
)

// Probe is one of HTTPProbe, TCPProbe and CommandProbe.
type Probe interface {
	// check returns when the answer is known or ctx ends, and leaves nothing behind. The text says what was
	// found, the error why that is not healthy.
	check(ctx context.Context, s *server) (string, error)
}

// HTTPProbe sends a GET. A redirect is an answer, and not followed.
type HTTPProbe struct {
	URL string
	// Path is asked for on localhost and the assigned port of the server when there is no URL.
	Path string
	// Statuses are the expected ones; empty: from 200 to 399.
	Statuses []int
}

// TCPProbe opens a connection and closes it.
type TCPProbe struct {
	Address string // host:port; empty: localhost and the assigned port of the server
}

// CommandProbe runs a program in the folder and the environment of the server, in a process group of
// its own. The exit code 0 is healthy. At the end of the time the group is killed.
type CommandProbe struct {
	Command []string
}

// address is not 127.0.0.1, because a server may listen on ::1 only, and both are tried.
func (s *server) address() string { return net.JoinHostPort("localhost", strconv.Itoa(s.port)) }

func (h HTTPProbe) check(ctx context.Context, s *server) (string, error) {
	if h.URL == "" {
		h.URL = "http://" + s.address() + h.Path
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("User-Agent", "tailrace-health")
	// A connection for each probe: whether the server still accepts one is part of the question. No proxy
	// of our environment is asked.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", h.URL, err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, probeBody)
	text := fmt.Sprintf("GET %s answered %d", h.URL, response.StatusCode)
	if len(h.Statuses) == 0 && response.StatusCode >= 200 && response.StatusCode < 400 ||
		slices.Contains(h.Statuses, response.StatusCode) {
		return text, nil
	}
	return "", fmt.Errorf("%s", text)
}

func (t TCPProbe) check(ctx context.Context, s *server) (string, error) {
	if t.Address == "" {
		t.Address = s.address()
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return "", err
	}
	_ = conn.Close()
	return t.Address + " accepts connections", nil
}

func (c CommandProbe) check(ctx context.Context, s *server) (string, error) {
	path, err := lookPath(c.Command[0], s.spec.Dir, s.env)
	if err != nil {
		return "", err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	t, err := s.sup.starter.start(command{
		path: path, args: c.Command, dir: s.spec.Dir, env: s.env, account: s.account, stdout: w, stderr: w, signal: syscall.SIGKILL,
	})
	_ = w.Close()
	if err != nil {
		return "", err
	}
	var output limited
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&output, r)
	}()
	select {
	case <-t.exited():
	case <-ctx.Done():
		err = fmt.Errorf("%s did not end in time", c.Command[0])
	}
	// What outlives a command is no part of the server.
	err = errors.Join(err, t.end(syscall.SIGKILL, 0))
	_ = r.SetReadDeadline(time.Now().Add(outputWait))
	<-read
	if err != nil {
		return "", err
	}
	exit := t.status().exit
	text := fmt.Sprintf("%s %s", c.Command[0], exit)
	if said := output.text(); said != "" {
		text += ": " + said
	}
	if exit.Code != 0 {
		return "", fmt.Errorf("%s", text)
	}
	return text, nil
}

// limited keeps the beginning of what is written to it.
type limited struct{ b bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), probeOutput-l.b.Len())])
	return len(p), nil
}

// text is one line of valid UTF-8.
func (l *limited) text() string {
	b := l.b.Bytes()
	// The cut may have gone through a character.
	for i := 0; i < utf8.UTFMax && len(b) == probeOutput-i; i++ {
		if r, size := utf8.DecodeLastRune(b); r != utf8.RuneError || size != 1 {
			break
		}
		b = b[:len(b)-1]
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(b), "\uFFFD")), " ")
}
