// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousecolumnarexporter

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// Compression says how blocks are compressed on the wire.
type Compression string

// The values of `compression`.
const (
	// CompressionNone costs the least CPU on both sides, and is right for a server on the same machine.
	CompressionNone Compression = "none"
	CompressionLZ4  Compression = "lz4"
	CompressionZSTD Compression = "zstd"
)

func (c Compression) method() (ch.Compression, bool) {
	switch c {
	case CompressionNone:
		return ch.CompressionDisabled, true
	case CompressionLZ4:
		return ch.CompressionLZ4, true
	case CompressionZSTD:
		return ch.CompressionZSTD, true
	}
	return ch.CompressionDisabled, false
}

// Config is the YAML of the exporter.
type Config struct {
	// Endpoint is tcp://host:port of the native protocol; several replicas of one cluster are separated by commas.
	Endpoint string `mapstructure:"endpoint"`
	// Database that holds the tables of clickhouse_store.
	Database string `mapstructure:"database"`
	// Username and Password of ClickHouse.
	Username string              `mapstructure:"username"`
	Password configopaque.String `mapstructure:"password"`
	// TLS of the connections; without the section they are in the clear.
	TLS configoptional.Optional[configtls.ClientConfig] `mapstructure:"tls"`
	// Compression of blocks on the wire: none, lz4 or zstd.
	Compression Compression `mapstructure:"compression"`
	// Connections is how many batches are turned into columns and sent at the same time.
	Connections int `mapstructure:"connections"`
	// DialTimeout bounds connecting to one host.
	DialTimeout time.Duration `mapstructure:"dial_timeout"`
	// Timeout bounds one batch: waiting for a connection, and the inserts into all its tables.
	Timeout time.Duration `mapstructure:"timeout"`
	// Queue and Retry are exporterhelper's; both are off by default.
	Queue configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	Retry configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	// prevent unkeyed literal initialization
	_ struct{}
}

var _ confmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	retry := configretry.NewDefaultBackOffConfig()
	retry.Enabled = false
	return &Config{
		Endpoint:    "tcp://127.0.0.1:9000",
		Database:    "tailrace",
		Username:    "default",
		TLS:         configoptional.Default(configtls.NewDefaultClientConfig()),
		Compression: CompressionLZ4,
		Connections: 4,
		DialTimeout: 5 * time.Second,
		Timeout:     time.Minute,
		Queue:       configoptional.Default(exporterhelper.NewDefaultQueueConfig()),
		Retry:       retry,
	}
}

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	_, err := c.hosts()
	check(err == nil, "endpoint: %w", err)
	check(c.Database != "", "database: must name the database of the tables, as clickhouse_store does")
	_, ok := c.Compression.method()
	check(ok, "compression: %q is not known; allowed: %s, %s, %s", c.Compression, CompressionNone, CompressionLZ4, CompressionZSTD)
	check(c.Connections > 0, "connections: %d; allowed: 1 or more", c.Connections)
	check(c.DialTimeout > 0, "dial_timeout: %s; allowed: more than 0", c.DialTimeout)
	check(c.Timeout > 0, "timeout: %s; allowed: more than 0, since an answer that is lost must not be waited for without end", c.Timeout)
	return errors.Join(errs...)
}

// hosts reads the endpoint.
func (c *Config) hosts() ([]string, error) {
	scheme, rest, ok := strings.Cut(c.Endpoint, "://")
	if !ok {
		return nil, errors.New("it is not a URL: write it as tcp://host:port")
	}
	if scheme != "tcp" && scheme != "clickhouse" {
		return nil, fmt.Errorf("scheme %q is not known: tcp and clickhouse are, both the native protocol; TLS has a section of its own", scheme)
	}
	rest = strings.TrimSuffix(rest, "/")
	switch {
	case strings.Contains(rest, "@"):
		return nil, errors.New("it must not contain a user or password: use the keys username and password")
	case strings.Contains(rest, "?"):
		return nil, errors.New("it must not contain parameters: use the keys of the exporter")
	case strings.Contains(rest, "/"):
		return nil, errors.New("it must not contain a database: use the key database")
	}
	var hosts []string
	for host := range strings.SplitSeq(rest, ",") {
		name, port, err := net.SplitHostPort(strings.TrimSpace(host))
		if err != nil || name == "" || port == "" {
			return nil, fmt.Errorf("%q is not host:port, for example 127.0.0.1:9000", host)
		}
		hosts = append(hosts, net.JoinHostPort(name, port))
	}
	return hosts, nil
}
