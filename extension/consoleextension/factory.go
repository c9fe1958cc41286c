// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/extension"

	"github.com/tailrace/tailrace/extension/consoleextension/internal/metadata"
	"github.com/tailrace/tailrace/internal/httpserver"
)

// NewFactory returns the factory of the console extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func createDefaultConfig() component.Config {
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = "localhost:4400"
	server.MaxRequestBodySize = 1 << 20
	server.ReadHeaderTimeout = 10 * time.Second
	return &Config{
		HTTP: httpserver.Config{ServerConfig: server},
		Queries: QueriesConfig{
			MaxRows: 500_000_000, MaxBytes: 64 << 30, MaxMemory: 1 << 30, Timeout: 15 * time.Second, Concurrent: 6, Exports: 4,
		},
		Audit: AuditConfig{Project: "tailrace-audit"},
		Auth: configoptional.Default(AuthConfig{
			CredentialHeaders: []string{"Authorization"},
			Session:           SessionConfig{Lifetime: 12 * time.Hour, Max: 10_000},
		}),
	}
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newConsole(set, cfg.(*Config))
}
