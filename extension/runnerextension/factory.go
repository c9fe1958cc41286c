// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/tailrace/tailrace/extension/runnerextension/internal/metadata"
)

// NewFactory returns the factory of the runner extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func createDefaultConfig() component.Config {
	return &Config{
		OTLPEndpoint: "http://localhost:4318",
		// What programs need to find their files, their user and their language; nothing that usually holds a secret.
		InheritEnv: []string{
			"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR",
			"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
		},
		HideCollector: true,
		StopSignal:    "SIGTERM",
		GracePeriod:   5 * time.Second,
		Guardian:      GuardianConfig{GracePeriod: 3 * time.Second},
		DrainTimeout:  5 * time.Second,
		MaxLineBytes:  256 << 10,
		BufferBytes:   256 << 10,
		OnOverflow:    overflowBlock,
		RestartBackoff: BackoffConfig{
			InitialInterval: 500 * time.Millisecond,
			MaxInterval:     30 * time.Second,
			ResetAfter:      time.Minute,
		},
		RestartLimit:         RestartLimitConfig{Window: 10 * time.Minute},
		Ports:                PortsConfig{From: 4111, To: 4200},
		HealthReportInterval: 30 * time.Second,
		MaxParallelBuilds:    1,
	}
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newRunner(set, cfg.(*Config))
}
