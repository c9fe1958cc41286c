// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/cluster"
	"github.com/tailrace/tailrace/internal/webguard"
)

// Config is the configuration of the live_tail exporter.
type Config struct {
	// Console is the console extension that the live tail is mounted on. Without it, and with http: beside it, the live tail
	// has a server of its own.
	Console *component.ID `mapstructure:"console"`
	// Store is the clickhouse_store extension that fills in what the rings do not have. Without it, clients are told where to find that.
	Store *component.ID `mapstructure:"store"`
	// Cluster is the extension (of the type nats) that connects the live tails of several collectors: a client of any of them sees
	// the records of all.
	Cluster *component.ID `mapstructure:"cluster"`
	// ClusterBufferBytes may wait to be sent to other collectors; beyond that the oldest records are dropped and counted.
	ClusterBufferBytes int `mapstructure:"cluster_buffer_bytes"`
	// HTTP is a server of the live tail's own. It is started when there is no console, or when the section is there.
	HTTP configoptional.Optional[serverConfig] `mapstructure:"http"`
	// Path of the WebSocket endpoint.
	Path string `mapstructure:"path"`
	// AllowedOrigins are origins of pages that may connect, beside those of this very server on a loopback name.
	AllowedOrigins []string `mapstructure:"allowed_origins"`
	// AllowedHosts are names under which clients may call this server, beside loopback names and its own address.
	AllowedHosts []string `mapstructure:"allowed_hosts"`
	// Classic are settings of the classic protocol.
	Classic ClassicConfig `mapstructure:"classic"`
	// Ring bounds what is kept for backfill.
	Ring RingConfig `mapstructure:"ring"`
	// ClientBufferBytes may wait for one client; beyond that its oldest records are dropped and counted.
	ClientBufferBytes int `mapstructure:"client_buffer_bytes"`
	// MaxClients is the number of connections.
	MaxClients int `mapstructure:"max_clients"`
	// MaxClientsPerIdentity is the number of connections of one authenticated caller.
	MaxClientsPerIdentity int `mapstructure:"max_clients_per_identity"`
	// MaxSubscriptions is the number of subscriptions of one connection.
	MaxSubscriptions int `mapstructure:"max_subscriptions"`
	// MaxMessageBytes is the size of a client's message.
	MaxMessageBytes int `mapstructure:"max_message_bytes"`
	// PingInterval is how often a client is asked whether it is there.
	PingInterval time.Duration `mapstructure:"ping_interval"`
	// AuthTimeout is how long a client without a credential may take to send one in its first message.
	AuthTimeout time.Duration `mapstructure:"auth_timeout"`
	// Compression offers permessage-deflate to clients of tailrace.v1, for what is sent to them.
	Compression bool `mapstructure:"compression"`
	// WriteTimeout is how long a client may take nothing at all before it counts as gone.
	WriteTimeout time.Duration `mapstructure:"write_timeout"`
	// RecentRecords is how many of the newest records are recognised when a sender repeats them.
	RecentRecords int `mapstructure:"recent_records"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ClassicConfig are settings of the classic protocol.
type ClassicConfig struct {
	// QueryToken accepts a credential as ?token=, where it ends up in logs and histories.
	QueryToken bool `mapstructure:"query_token"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// RingConfig bounds the rings.
type RingConfig struct {
	// Records kept for each source: a server, a build, or a project, by signal.
	Records int `mapstructure:"records"`
	// Bytes kept for each source.
	Bytes int `mapstructure:"bytes"`
	// TotalBytes kept for all sources.
	TotalBytes int `mapstructure:"total_bytes"`
	// MaxSources is the number of sources; the one that was silent for longest goes first.
	MaxSources int `mapstructure:"max_sources"`
	// MaxRecordBytes is the size of one record; what is above is cut and marked.
	MaxRecordBytes int `mapstructure:"max_record_bytes"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	hub := livetail.DefaultOptions()
	return &Config{
		HTTP: configoptional.Default(defaultServer()),
		Path: "/ws",
		Ring: RingConfig{
			Records: hub.RingRecords, Bytes: hub.RingBytes, TotalBytes: hub.TotalBytes, MaxSources: hub.MaxSources,
			MaxRecordBytes: hub.MaxRecord,
		},
		ClusterBufferBytes: cluster.DefaultOptions().BufferBytes,
		ClientBufferBytes:  hub.ClientBytes,
		MaxClients:         1000, MaxClientsPerIdentity: 100,
		MaxSubscriptions: hub.MaxChannels,
		MaxMessageBytes:  64 << 10,
		PingInterval:     25 * time.Second,
		WriteTimeout:     time.Minute,
		AuthTimeout:      10 * time.Second,
		Compression:      true,
		RecentRecords:    hub.RecentRecords,
	}
}

func defaultServer() serverConfig {
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = "localhost:4400"
	return serverConfig{server}
}

// ownServer is the server to start, nil when the console is the only one.
func (c *Config) ownServer() *serverConfig {
	switch {
	case c.HTTP.HasValue():
		return c.HTTP.Get()
	case c.Console == nil:
		server := defaultServer()
		return &server
	default:
		return nil
	}
}

// serverConfig is confighttp's, but refuses keys that it does not know.
type serverConfig struct {
	confighttp.ServerConfig `mapstructure:",squash"`
}

// Unmarshal implements confmap.Unmarshaler. confighttp itself takes any key, because it is often squashed into a section with
// other keys; here it has a section of its own, and a mistyped key must not go unnoticed.
func (s *serverConfig) Unmarshal(conf *confmap.Conf) error {
	type strict confighttp.ServerConfig // without the methods
	keys := strict(s.ServerConfig)
	if err := conf.Unmarshal(&keys); err != nil {
		return err
	}
	return s.ServerConfig.Unmarshal(conf)
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	server := c.ownServer()
	if server != nil && server.NetAddr.Endpoint == "" {
		errs = append(errs, errors.New("http.endpoint: must not be empty; expected host:port such as localhost:4400"))
	}
	if c.Path == tailPath {
		errs = append(errs, fmt.Errorf("path: %s is taken by the stream over plain HTTP", tailPath))
	}
	if !strings.HasPrefix(c.Path, "/") {
		errs = append(errs, fmt.Errorf("path: %q must start with /", c.Path))
	}
	_, origins := normalize(c.AllowedOrigins, "allowed_origins", webguard.NormalizeOrigin)
	_, hosts := normalize(c.AllowedHosts, "allowed_hosts", webguard.NormalizeHost)
	errs = append(errs, origins, hosts)
	for _, n := range []struct {
		key         string
		value, from int
		to          int
	}{
		{"ring.records", c.Ring.Records, 1, 10_000_000},
		{"ring.bytes", c.Ring.Bytes, 64 << 10, 1 << 34},
		{"ring.total_bytes", c.Ring.TotalBytes, 1 << 20, 1 << 40},
		{"ring.max_sources", c.Ring.MaxSources, 1, 10_000_000},
		{"ring.max_record_bytes", c.Ring.MaxRecordBytes, 4 << 10, 64 << 20},
		{"client_buffer_bytes", c.ClientBufferBytes, 64 << 10, 1 << 34},
		{"cluster_buffer_bytes", c.ClusterBufferBytes, 256 << 10, 1 << 34},
		{"max_clients", c.MaxClients, 1, 1_000_000},
		{"max_clients_per_identity", c.MaxClientsPerIdentity, 1, 1_000_000},
		{"max_subscriptions", c.MaxSubscriptions, 1, 100_000},
		{"max_message_bytes", c.MaxMessageBytes, 1 << 10, 16 << 20},
		{"recent_records", c.RecentRecords, 1, 1 << 26},
	} {
		if n.value < n.from || n.value > n.to {
			errs = append(errs, fmt.Errorf("%s: %d must be from %d to %d", n.key, n.value, n.from, n.to))
		}
	}
	if c.Ring.Bytes > c.Ring.TotalBytes {
		errs = append(errs, fmt.Errorf("ring.bytes: %d must not be above ring.total_bytes (%d)", c.Ring.Bytes, c.Ring.TotalBytes))
	}
	if c.Ring.MaxRecordBytes > c.Ring.Bytes {
		errs = append(errs, fmt.Errorf("ring.max_record_bytes: %d must not be above ring.bytes (%d)", c.Ring.MaxRecordBytes, c.Ring.Bytes))
	}
	if c.PingInterval < time.Second || c.PingInterval > time.Hour {
		errs = append(errs, fmt.Errorf("ping_interval: %v must be from 1s to 1h", c.PingInterval))
	}
	if c.AuthTimeout < 100*time.Millisecond || c.AuthTimeout > time.Hour {
		errs = append(errs, fmt.Errorf("auth_timeout: %v must be from 100ms to 1h", c.AuthTimeout))
	}
	if c.WriteTimeout < time.Second || c.WriteTimeout > time.Hour {
		errs = append(errs, fmt.Errorf("write_timeout: %v must be from 1s to 1h", c.WriteTimeout))
	}
	if c.Classic.QueryToken && c.Console == nil && (server == nil || !server.Auth.HasValue()) {
		errs = append(errs, errors.New("classic.query_token: needs a console or http.auth, which the token is handed to"))
	}
	return errors.Join(errs...)
}

func normalize(values []string, key string, one func(string) (string, error)) (out []string, err error) {
	var errs []error
	for i, v := range values {
		n, err := one(v)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %w", key, i, err))
			continue
		}
		out = append(out, n)
	}
	return out, errors.Join(errs...)
}
