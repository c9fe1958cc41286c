// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/tailrace/tailrace/internal/identity"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := all.Sub(name)
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	if err := sub.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestConfig(t *testing.T) {
	cfg, err := load(t, "identity")
	require.NoError(t, err)
	assert.Equal(t, createDefaultConfig(), cfg)

	cfg, err = load(t, "identity/all")
	require.NoError(t, err)
	assert.Equal(t, &Config{
		TokenResolvers: []component.ID{component.MustNewID("runner"), component.MustNewIDWithName("runner", "second")},
		Tokens: []Token{
			{Token: "secret-a", Identity: identity.Identity{Project: "A", Server: "s1"}},
			{Token: "secret-b", Identity: identity.Identity{Project: "B"}},
		},
		RequireToken:   true,
		OnUnknownToken: unknownIgnore,
		AuthAttributes: AuthAttributes{Project: "tenant", Deployment: "app"},
		Aliases: identity.Aliases{
			Project: []string{"my.project"}, Deployment: []string{"mastra.deployment.id"},
			Server: []string{"service.instance.id"}, Build: []string{"ci.run"},
		},
		Quotas: Quotas{
			Default:  Quota{BytesPerSecond: 2 << 20, Burst: 30 * time.Second},
			Projects: map[string]Quota{"shop": {RecordsPerSecond: 500}},
		},
	}, cfg)
	assert.NotContains(t, fmt.Sprintf("%+v", *cfg), "secret-")

	_, err = load(t, "identity/wrong")
	for _, want := range []string{
		"tokens[0].token: must not be empty", "tokens[1].token: has white space", "tokens[3].token: is the same as an earlier one",
		"tokens[3]: says nothing", "tokens[4].project: at most 512 bytes", "token_resolvers[1]: runner is named twice",
		`on_unknown_token: "maybe" is not allowed: refuse or ignore`, "aliases.server[0]: must not be empty", "default_project: at most",
	} {
		assert.ErrorContains(t, err, want)
	}
	_, err = load(t, "identity/nobody")
	require.ErrorContains(t, err, "require_token: true refuses everything")
	_, err = load(t, "identity/unknown")
	require.ErrorContains(t, err, "defaultproject")
}
