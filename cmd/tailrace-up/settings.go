// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// variable is an environment variable of config/local.yaml with the default that stands there.
type variable struct{ name, fallback, meaning string }

func variables() []variable {
	return []variable{
		{"TAILRACE_DATA", "./data", "folder of everything that is kept"},
		{"TAILRACE_OTLP_GRPC", "localhost:4317", "OTLP over gRPC"},
		{"TAILRACE_OTLP_HTTP", "localhost:4318", "OTLP over HTTP"},
		{"TAILRACE_CONSOLE", "localhost:4400", "console: web UI, REST, live tail"},
		{"TAILRACE_CLICKHOUSE_TCP", "4490", "ClickHouse, native port"},
		{"TAILRACE_CLICKHOUSE_HTTP", "4423", "ClickHouse, HTTP port"},
		{"TAILRACE_CLICKHOUSE_PASSWORD", "", "generated into the data folder when not set"},
		{"TAILRACE_HEALTH", "localhost:13133", "health check"},
		{"TAILRACE_METRICS_PORT", "8888", "the collector's own metrics"},
	}
}

func describeSettings() string {
	var b strings.Builder
	for _, v := range variables() {
		fmt.Fprintf(&b, "  %-29s %-16s %s\n", v.name, v.fallback, v.meaning)
	}
	return b.String()
}

// settings are the resolved variables.
type settings struct {
	values   map[string]string
	data     string // TAILRACE_DATA
	password string
	ownsFile bool // the password lies in passwordFile
}

func loadSettings(getenv func(string) string) (settings, error) {
	set := settings{values: map[string]string{}}
	for _, v := range variables() {
		set.values[v.name] = v.fallback
		if value := getenv(v.name); value != "" {
			set.values[v.name] = value
		}
	}
	set.data = set.values["TAILRACE_DATA"]
	if err := os.MkdirAll(set.data, 0o750); err != nil {
		return settings{}, fmt.Errorf("create the data folder: %w (set TAILRACE_DATA to a writable one)", err)
	}
	set.password = set.values["TAILRACE_CLICKHOUSE_PASSWORD"]
	if set.password == "" {
		var err error
		if set.password, err = password(set.passwordFile()); err != nil {
			return settings{}, err
		}
		set.ownsFile = true
	}
	return set, nil
}

func (s settings) get(name string) string { return s.values[name] }

// passwordFile says where a generated password lies; with one from the environment it names that.
func (s settings) passwordFile() string {
	if s.password != "" && !s.ownsFile {
		return "$TAILRACE_CLICKHOUSE_PASSWORD"
	}
	return filepath.Join(s.data, "clickhouse-password")
}

// environ is what the collector needs beyond our own environment.
func (s settings) environ() []string {
	return []string{"TAILRACE_CLICKHOUSE_PASSWORD=" + s.password}
}

// password reads the generated password, or generates one at first use. The file is private (0600).
func password(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(raw))) > 0 {
		return strings.TrimSpace(string(raw)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the ClickHouse password: %w", err)
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return "", fmt.Errorf("generate the ClickHouse password: %w", err)
	}
	text := hex.EncodeToString(secret)
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the ClickHouse password: %w", err)
	}
	return text, nil
}
