// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// issuer is an OpenID Connect provider as far as a resource server sees it: discovery, keys, and tokens that it signs.
type issuer struct {
	*httptest.Server
	key *rsa.PrivateKey
}

const keyID = "key-1"

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	i := &issuer{key: key}
	mux := http.NewServeMux()
	answer := func(v func() any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v())
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", answer(func() any {
		return map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}}
	}))
	mux.HandleFunc("/keys", answer(func() any {
		return map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": keyID,
			"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}}}
	}))
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// token is a signed one; changes replace claims, and nil leaves one out.
func (i *issuer) token(t *testing.T, key *rsa.PrivateKey, subject string, lifetime time.Duration, changes map[string]any) string {
	t.Helper()
	// The extension refuses a token that lacks its groups_claim.
	claims := map[string]any{"iss": i.URL, "aud": "tailrace", "sub": subject, "roles": []string{"staff"}, "iat": time.Now().Unix(), "exp": time.Now().Add(lifetime).Unix()}
	for name, v := range changes {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	header, err := json.Marshal(map[string]any{"alg": "RS256", "typ": "JWT", "kid": keyID})
	require.NoError(t, err)
	body, err := json.Marshal(claims)
	require.NoError(t, err)
	signed := encode(header) + "." + encode(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	require.NoError(t, err)
	return signed + "." + encode(signature)
}

// TestOIDC runs the shipped config/team.yaml with contrib's oidc extension, against a real issuer.
func TestOIDC(t *testing.T) {
	idp := newIssuer(t)
	dir := t.TempDir()
	overlay := filepath.Join(dir, "oidc.yaml")
	require.NoError(t, os.WriteFile(overlay, []byte(`
extensions:
  oidc:
    providers:
      - issuer_url: `+idp.URL+`
        audience: tailrace
        groups_claim: roles
  console:
    auth:
      authenticators: [oidc]
service:
  extensions: [health_check, clickhouse_server, clickhouse_store, oidc, console]
`), 0o600))
	tm := &team{rules: filepath.Join(dir, "rules.yaml")}
	require.NoError(t, os.WriteFile(tm.rules, []byte(`rules:
- {groups: [admins], authenticators: [oidc], role: operator, projects: ['*']}
- {subjects: [bob], role: viewer, projects: [shop, 'shop-*']}
- {claims: {department: [support]}, role: viewer, projects: [support]}
`), 0o600))
	htpasswd := filepath.Join(dir, "htpasswd")
	require.NoError(t, os.WriteFile(htpasswd, []byte("nobody:x\n"), 0o600))
	t.Setenv("TAILRACE_HTPASSWD", htpasswd)
	t.Setenv("TAILRACE_RULES", tm.rules)
	tm.product = newProduct(t, "config/team.yaml", overlay)
	tm.start()
	tm.waitReady()
	tm.fill()

	another, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for why, wrong := range map[string]string{
		"expired":           idp.token(t, idp.key, "bob", -time.Minute, nil),
		"another audience":  idp.token(t, idp.key, "bob", time.Hour, map[string]any{"aud": "elsewhere"}),
		"another issuer":    idp.token(t, idp.key, "bob", time.Hour, map[string]any{"iss": "https://evil.example"}),
		"another key":       idp.token(t, another, "bob", time.Hour, nil),
		"without signature": encode([]byte(`{"alg":"none"}`)) + "." + strings.Split(idp.token(t, idp.key, "bob", time.Hour, nil), ".")[1] + ".",
	} {
		for _, path := range []string{"/api/v1/logs", "/api/v1/tail?channel=project:shop"} {
			status, body := tm.get(path, bearer(wrong))
			assert.Equal(t, http.StatusUnauthorized, status, "%s %s: %s", why, path, body)
		}
	}
	status, _ := tm.get("/api/v1/logs", bearer(idp.token(t, idp.key, "mallory", time.Hour, nil)))
	assert.Equal(t, http.StatusForbidden, status, "in no rule")

	for _, who := range []struct {
		token string
		sees  []string
	}{
		{idp.token(t, idp.key, "bob", time.Hour, nil), []string{"shop", "shop-eu"}},
		{idp.token(t, idp.key, "eve", time.Hour, map[string]any{"department": "support"}), []string{"support"}},
		{idp.token(t, idp.key, "ada", time.Hour, map[string]any{"roles": []string{"admins"}}), everyProject},
	} {
		status, body := tm.get("/api/v1/logs?limit=1000", bearer(who.token))
		require.Equal(t, http.StatusOK, status, body)
		for _, project := range everyProject {
			assert.Equal(t, slices.Contains(who.sees, project), strings.Contains(body, mark(project)), "%v %s", who.sees, project)
		}
	}

	t.Run("a live tail and a request end with their token", func(t *testing.T) {
		short := idp.token(t, idp.key, "bob", 20*time.Second, nil)
		v := tm.watchAs(bearer(short), "*")
		for _, project := range []string{"support", "shop"} {
			require.NoError(t, tm.sendLogs(logs(project, "oidc-"+project, 1)))
		}
		v.await("a line of shop", func(m message) bool { return strings.Contains(string(m.Payload), "oidc-shop") })
		for _, m := range v.all() {
			require.NotContains(t, string(m.Payload), "oidc-support")
		}
		status, _ := tm.get("/api/v1/logs", bearer(short))
		assert.Equal(t, http.StatusOK, status)
		select {
		case <-v.done:
		case <-time.After(60 * time.Second):
			t.Fatal("the live tail outlives its token")
		}
		status, _ = tm.get("/api/v1/logs", bearer(short))
		assert.Equal(t, http.StatusUnauthorized, status)
		// And another can't be opened with it.
		conn, resp, err := websocket.DefaultDialer.Dial("ws://"+tm.tail+"/ws", http.Header{"Authorization": {"Bearer " + short}})
		if err == nil {
			defer conn.Close()
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
			_, _, err = conn.ReadMessage()
			require.True(t, websocket.IsCloseError(err, 4001, 4401), "%v", err)
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
	})
	t.Run("a browser's session", func(t *testing.T) {
		status, body, header, err := tm.call("POST", "/api/v1/login", `{"token":"`+idp.token(t, idp.key, "bob", time.Hour, nil)+`"}`, "Content-Type", "application/json")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
		// It outlives a restart of the collector.
		tm.stop()
		tm.start()
		tm.waitReady()
		status, body = tm.get("/api/v1/session", credential{"Cookie", cookie})
		require.Equal(t, http.StatusOK, status, body)
		assert.Contains(t, body, `"subject":"bob"`)
		_, body = tm.get("/api/v1/logs?limit=1000", credential{"Cookie", cookie})
		assert.Contains(t, body, mark("shop"))
		assert.NotContains(t, body, mark("support"))
	})
	for _, name := range []string{"tail_start", "tail_end"} { // the tail is audited
		tm.awaitCount(60*time.Second, 1, "SELECT toUInt64(count() > 0) FROM tailrace.otel_logs WHERE LogAttributes['event.name'] = 'tailrace.audit."+name+
			"' AND LogAttributes['user.id'] = 'bob' AND LogAttributes['url.path'] = '/ws' AND LogAttributes['tailrace.audit.method'] = 'oidc'")
	}
	tm.stop()
	raw, err := os.ReadFile(filepath.Join(tm.data, "tailrace.log"))
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "eyJ", "no token is in the log")
}
