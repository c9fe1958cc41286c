// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserverextension

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/tailrace/tailrace/internal/bytesize"
	"github.com/tailrace/tailrace/internal/clickhouseserver"
)

// Config is the YAML of the extension.
type Config struct {
	// Path is the data folder.
	Path string `mapstructure:"path"`
	// TCPPort and HTTPPort are opened on 127.0.0.1 only.
	TCPPort  int `mapstructure:"tcp_port"`
	HTTPPort int `mapstructure:"http_port"`
	// Database is created before the ports open.
	Database string `mapstructure:"database"`
	// Username and Password are those of the only user who can log in.
	Username string              `mapstructure:"username"`
	Password configopaque.String `mapstructure:"password"`
	// Binary is an installed clickhouse; empty: searched.
	Binary string `mapstructure:"binary"`
	// Library is libchdb.so; empty: beside tailrace-clickhouse.
	Library string `mapstructure:"library"`
	// MaxServerMemoryUsage bounds ClickHouse's memory.
	MaxServerMemoryUsage bytesize.Size `mapstructure:"max_server_memory_usage"`
	// ShutdownTimeout is how long ClickHouse may take to end by itself.
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"`
}

func createDefaultConfig() component.Config {
	return &Config{
		Path: "./data/clickhouse", TCPPort: 4490, HTTPPort: 4423,
		Database:             "tailrace",
		Username:             clickhouseserver.DefaultUsername,
		MaxServerMemoryUsage: clickhouseserver.DefaultMaxServerMemoryUsage,
		ShutdownTimeout:      clickhouseserver.DefaultShutdownTimeout,
	}
}

// minMemory is below what ClickHouse needs to start and to merge.
const minMemory = 256 << 20

var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// Validate names every wrong key at once.
func (c *Config) Validate() error {
	var errs error
	bad := func(format string, args ...any) { errs = errors.Join(errs, fmt.Errorf(format, args...)) }
	if c.Path == "" {
		bad("path: must be a folder, e.g. ./data/clickhouse")
	}
	if c.Password == "" {
		bad("password: is required: set `password: ${env:TAILRACE_CLICKHOUSE_PASSWORD}` and e.g. `export TAILRACE_CLICKHOUSE_PASSWORD=$(openssl rand -hex 16)`")
	}
	for _, p := range []struct {
		key  string
		port int
	}{{"tcp_port", c.TCPPort}, {"http_port", c.HTTPPort}} {
		if p.port < 1 || p.port > 65535 {
			bad("%s: is %d, must be a port from 1 to 65535", p.key, p.port)
		}
	}
	if c.TCPPort == c.HTTPPort {
		bad("http_port: is %d like tcp_port, must be another port", c.HTTPPort)
	}
	if !namePattern.MatchString(c.Username) || c.Username == "default" {
		bad("username: is %q, must be letters, digits and _, begin with no digit, have 64 characters at most and not be \"default\"", c.Username)
	}
	if c.Database != "" && !namePattern.MatchString(c.Database) {
		bad("database: is %q, must be letters, digits and _, begin with no digit and have 64 characters at most, or be empty", c.Database)
	}
	if c.MaxServerMemoryUsage < minMemory {
		bad("max_server_memory_usage: is %d bytes, must be 256MiB or more, e.g. 2GiB", uint64(c.MaxServerMemoryUsage))
	}
	if c.ShutdownTimeout <= 0 {
		bad("shutdown_timeout: is %s, must be more than 0, e.g. 30s", c.ShutdownTimeout)
	}
	return errs
}
