// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousestoreextension

import (
	"errors"
	"fmt"

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
	Database string `mapstructure:"database"`
	// Username and Password of ClickHouse.
	Username string              `mapstructure:"username"`
	Password configopaque.String `mapstructure:"password"`
	// TLS encrypts the connection when the key is present; `tls: {}` uses the system's certificates.
	TLS configoptional.Optional[configtls.ClientConfig] `mapstructure:"tls"`
	// Server is the clickhouse_server extension that runs this ClickHouse, if one does: it starts before this one and stops after it.
	Server *component.ID `mapstructure:"server"`
	// Retention says how long rows are kept.
	Retention RetentionConfig `mapstructure:"retention"`
	// Prices of models, for the cost of usage. Without the key the database keeps those that it has.
	Prices []PriceConfig `mapstructure:"prices"`
	// Cluster makes replicated and distributed tables when the key is present.
	Cluster configoptional.Optional[ClusterConfig] `mapstructure:"cluster"`
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
	errs = errors.Join(errs, cfg.Retention.retention().Validate())
	for i, p := range cfg.Prices {
		if err := p.validate(); err != nil {
			errs = errors.Join(errs, fmt.Errorf("prices::%d: %w", i, err))
		}
	}
	if c := cfg.cluster(); c != nil {
		errs = errors.Join(errs, c.Validate())
	}
	return errs
}

// server is everything but TLS, whose files are read at the start.
func (cfg *Config) server() clickhouse.Server {
	return clickhouse.Server{Endpoint: cfg.Endpoint, Database: cfg.Database, Username: cfg.Username, Password: string(cfg.Password)}
}
