// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousestoreextension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/extension"

	"github.com/tailrace/tailrace/extension/clickhousestoreextension/internal/metadata"
)

// NewFactory returns the factory of the clickhouse_store extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func createDefaultConfig() component.Config {
	return &Config{
		Endpoint:  "tcp://127.0.0.1:4490",
		Database:  "tailrace",
		Username:  "tailrace",
		TLS:       configoptional.Default(configtls.NewDefaultClientConfig()),
		Retention: defaultRetention(),
		Cluster:   configoptional.Default(defaultCluster()),
	}
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newStore(set, cfg.(*Config))
}
