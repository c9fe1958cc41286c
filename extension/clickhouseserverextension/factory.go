// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserverextension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/tailrace/tailrace/extension/clickhouseserverextension/internal/metadata"
)

// NewFactory returns the factory of the clickhouse_server extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newExtension(set, cfg.(*Config))
}
