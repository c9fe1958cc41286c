// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"

	"github.com/tailrace/tailrace/internal/access"
)

// As the oidc extension tells it.
func TestIdentityOfOIDC(t *testing.T) {
	id, err := identityOf(authData{
		"subject": "ada@example.com", "membership": []string{"admins"}, "raw": "eyJ…",
		"claims.department": "sre", "claims.levels": []any{1.0, "two"}, "claims.exp": 1.9e9, "claims.nested": map[string]any{"x": 1},
	}, "oidc")
	require.NoError(t, err)
	assert.Equal(t, access.Identity{
		Subject: "ada@example.com", Method: "oidc", Groups: []string{"admins"}, Expires: time.Unix(1_900_000_000, 0),
		Claims: map[string][]string{"department": {"sre"}, "levels": {"1", "two"}, "exp": {"1.9e+09"}, "nested": nil},
	}, id)
}

// bearertokenauth only has the token, which is nobody's name.
func TestWithoutASubjectThereIsNoIdentity(t *testing.T) {
	for _, data := range []authData{nil, {"raw": "secret"}, {"subject": 7}, {"subject": ""}} {
		_, err := identityOf(data, "x")
		require.ErrorIs(t, err, errNoSubject)
	}
	_, err := identityOf(nil, "x")
	require.ErrorIs(t, err, errNoSubject)
}

func TestMethodOf(t *testing.T) {
	assert.Equal(t, "basic", methodOf(component.MustNewType("basicauth")))
	assert.Equal(t, "oidc", methodOf(component.MustNewType("oidc")))
}
