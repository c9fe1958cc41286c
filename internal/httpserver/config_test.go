// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"
)

func TestUnknownKeysAreRefused(t *testing.T) {
	c := Config{confighttp.NewDefaultServerConfig()}
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"endpoint": "localhost:1", "keepalive": map[string]any{"idle_timeout": "5s"}, "tls": map[string]any{"cert_file": "x"},
	}).Unmarshal(&c))
	assert.Equal(t, "localhost:1", c.NetAddr.Endpoint)
	assert.True(t, c.TLS.HasValue())
	assert.Equal(t, 5*time.Second, c.IdleTimeout) //nolint:staticcheck // where confighttp keeps it
	require.ErrorContains(t, confmap.NewFromStringMap(map[string]any{"end_point": "x"}).Unmarshal(&c), "end_point")
}
