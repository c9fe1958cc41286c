// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousestoreextension

import (
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/tailrace/tailrace/internal/clickhouse"
)

// Config is the YAML of clickhouse_store.
type Config struct {
	// Endpoint is tcp://host:port (native protocol) or http(s)://host:port; several hosts are separated by commas.
	Endpoint string `mapstructure:"endpoint"`
	// Database holds all tables; it is created when missing.
	Database string              `mapstructure:"database"`
	Username string              `mapstructure:"username"`
	Password configopaque.String `mapstructure:"password"`
	// TLS encrypts the connection when the key is present; `tls: {}` uses the system's certificates.
	TLS configoptional.Optional[configtls.ClientConfig] `mapstructure:"tls"`
	// Server is the clickhouse_server extension that runs this ClickHouse, if one does: it starts before this one and stops after it.
	Server *component.ID `mapstructure:"server"`
	// DryRun only logs what would be done to the database.
	DryRun bool `mapstructure:"dry_run"`
}

var _ component.Config = (*Config)(nil)

// Validate implements xconfmap.Validator; errors name the key.
func (cfg *Config) Validate() error {
	errs := cfg.server().Validate()
	if cfg.Endpoint == "" {
		errs = errors.Join(errors.New("endpoint: must not be empty; the embedded ClickHouse is tcp://127.0.0.1:4490"), errs)
	}
	return errs
}

// server is everything but TLS, whose files are read at the start.
func (cfg *Config) server() clickhouse.Server {
	return clickhouse.Server{Endpoint: cfg.Endpoint, Database: cfg.Database, Username: cfg.Username, Password: string(cfg.Password)}
}
