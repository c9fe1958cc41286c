// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/extension"

	"github.com/tailrace/tailrace/extension/natsextension/internal/metadata"
)

// NewFactory returns the factory of the nats extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func createDefaultConfig() component.Config {
	return &Config{
		Endpoints:     []string{"nats://localhost:4222"},
		SubjectPrefix: "tailrace",
		TLS:           configoptional.Default(configtls.NewDefaultClientConfig()),
		Stream:        configoptional.Default(defaultStream()),
	}
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return &natsExtension{cfg: cfg.(*Config), id: set.ID, logger: set.Logger, queue: queueLength}, nil
}
