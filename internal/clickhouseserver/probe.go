// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// probe asks the HTTP port. The native port is opened before it, so one answer speaks for both.
type probe struct {
	base               string
	username, password string
	client             *http.Client
}

func newProbe(cfg Config) *probe {
	return &probe{
		base:     "http://" + net.JoinHostPort(loopback, strconv.Itoa(cfg.HTTPPort)) + "/",
		username: cfg.Username, password: cfg.Password,
		client: &http.Client{
			Timeout: 5 * time.Second,
			// No proxy of the environment comes between, and no idle connection stays behind.
			Transport: &http.Transport{DisableKeepAlives: true},
		},
	}
}

// ping says whether anything answers; it reveals no secret.
func (p *probe) ping(ctx context.Context) error {
	_, err := p.get(ctx, "ping", false)
	return err
}

// version logs in and asks: the server is ready when this works.
func (p *probe) version(ctx context.Context) (string, error) {
	return p.get(ctx, "?query="+url.QueryEscape("SELECT version()"), true)
}

// databaseExists is asked before a client may log in with that database.
func (p *probe) databaseExists(ctx context.Context, name string) (bool, error) {
	// In hexadecimal no name can be anything but a name.
	query := fmt.Sprintf("SELECT count() FROM system.databases WHERE hex(name) = '%X'", name)
	count, err := p.get(ctx, "?query="+url.QueryEscape(query), true)
	return count == "1", err
}

func (p *probe) get(ctx context.Context, path string, login bool) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, http.NoBody)
	if err != nil {
		return "", err
	}
	if login {
		req.SetBasicAuth(p.username, p.password)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ClickHouse answers %s: %.300s", resp.Status, body)
	}
	return strings.TrimSpace(string(body)), nil
}
