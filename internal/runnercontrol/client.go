// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnercontrol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// maxAnswer bounds what a client reads.
const maxAnswer = 64 << 20

// Client asks a runner. Safe for concurrent use.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client; Close ends its connections.
func NewClient(socket string) *Client {
	dialer := net.Dialer{Timeout: dialTimeout}
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Servers lists the servers.
func (c *Client) Servers(ctx context.Context) ([]Server, error) {
	var list Servers
	err := c.do(ctx, http.MethodGet, "/v1/servers", nil, &list)
	return list.Servers, err
}

// Builds lists the builds.
func (c *Client) Builds(ctx context.Context) ([]Build, error) {
	var list Builds
	err := c.do(ctx, http.MethodGet, "/v1/builds", nil, &list)
	return list.Builds, err
}

// ControlServer does an action, and returns the state after it, or when it is settled or wait has passed.
func (c *Client) ControlServer(ctx context.Context, id, action string, wait time.Duration) (state Server, err error) {
	err = c.do(ctx, http.MethodPost, pathOf("servers", id, action, wait), nil, &state)
	return state, err
}

// ControlBuild is ControlServer for a build.
func (c *Client) ControlBuild(ctx context.Context, id, action string, wait time.Duration) (state Build, err error) {
	err = c.do(ctx, http.MethodPost, pathOf("builds", id, action, wait), nil, &state)
	return state, err
}

// PutServer defines a server at run time; definition has the keys of the YAML.
func (c *Client) PutServer(ctx context.Context, id string, definition any, wait time.Duration) (state Server, err error) {
	err = c.do(ctx, http.MethodPut, pathOf("servers", id, "", wait), definition, &state)
	return state, err
}

// PutBuild is PutServer for a build.
func (c *Client) PutBuild(ctx context.Context, id string, definition any, wait time.Duration) (state Build, err error) {
	err = c.do(ctx, http.MethodPut, pathOf("builds", id, "", wait), definition, &state)
	return state, err
}

// DeleteServer removes a server that was defined at run time.
func (c *Client) DeleteServer(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, pathOf("servers", id, "", 0), nil, nil)
}

// DeleteBuild is DeleteServer for a build.
func (c *Client) DeleteBuild(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, pathOf("builds", id, "", 0), nil, nil)
}

func pathOf(kind, id, action string, wait time.Duration) string {
	path := "/v1/" + kind + "/" + url.PathEscape(id)
	if action != "" {
		path += "/" + action
	}
	if wait > 0 {
		path += "?wait=" + wait.String()
	}
	return path
}

// do asks and decodes the answer. The error is a *Problem when the runner refused.
func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://runner"+path, content)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.explain(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: the answer could not be read: %w", c.socket, err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		problem := new(Problem)
		if json.Unmarshal(text, problem) != nil || problem.Code == "" {
			return fmt.Errorf("%s answered %s", c.socket, response.Status)
		}
		return problem
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: the answer is not understood: %w", c.socket, err)
	}
	return nil
}

// explain says what to do about a socket that nobody answers on.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no socket %s: is the collector running, and has its runner the key `control: {socket: %s}`?", c.socket, c.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens on %s: is the collector running?", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: only the user of the collector and root may use it", c.socket, fs.ErrPermission)
	}
	return fmt.Errorf("%s: %w", c.socket, err)
}
