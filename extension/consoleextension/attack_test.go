// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/audit"
)

// Pages of other sites, and names that somebody's DNS points here.
func TestForeignPagesAndNames(t *testing.T) {
	for _, yaml := range []string{"", authYAML} {
		c := start(t, yaml+"\nallowed_hosts: [console.example.com]\nallowed_origins: ['https://admin.example.com']")
		own := "http://127.0.0.1:" + c.port()
		cookie := []string{}
		if yaml != "" {
			cookie, _ = c.login("ada")
		}
		for _, tc := range []struct {
			why     string
			headers []string
			ui, api bool // let through
		}{
			{"no browser", nil, true, true},
			{"our page", []string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, true, true},
			{"typed in", []string{"Sec-Fetch-Site", "none"}, true, true},
			{"rebinding", []string{"Host", "evil.example:" + c.port()}, false, false},
			{"rebinding with its origin", []string{"Host", "evil.example:" + c.port(), "Origin", "http://evil.example:" + c.port()}, false, false},
			{"our name", []string{"Host", "console.example.com"}, true, true},
			{"another port", []string{"Origin", "http://localhost:3000"}, false, false},
			{"another site", []string{"Origin", "https://evil.example"}, false, false},
			{"a sandboxed frame", []string{"Origin", "null"}, false, false},
			{"two origins", []string{"Origin", own, "Origin", "https://evil.example"}, false, false},
			{"an allowed page", []string{"Origin", "https://admin.example.com", "Sec-Fetch-Site", "cross-site"}, true, true},
			{"an image or script elsewhere", []string{"Sec-Fetch-Site", "cross-site"}, true, false},
			{"one of another port", []string{"Sec-Fetch-Site", "same-site"}, true, false},
		} {
			for path, pass := range map[string]bool{"/": tc.ui, "/healthz": tc.ui, "/api/v1/session": tc.api, "/api/v1/pipeline": tc.api, "/ws": tc.api} {
				resp := c.ask("GET", path, "", append(tc.headers, cookie...)...)
				assert.Equal(t, pass, resp.StatusCode != http.StatusForbidden, "%s: %s: %d %s", tc.why, path, resp.StatusCode, resp.body)
				assert.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
				assert.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
				assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
				assert.Equal(t, "DENY", resp.Header.Get("X-Frame-Options"))
			}
		}
		for _, reason := range []string{reasonHost, reasonOrigin, reasonSite} {
			c.audit.await(t, audit.Refusal, reason)
		}
	}
}

// What a page elsewhere could make a browser post.
func TestCrossSitePosts(t *testing.T) {
	c := start(t, authYAML)
	session, csrf := c.login("ada")
	login := `{"username":"bob","password":"secret"}`
	for why, tc := range map[string]struct {
		path, body string
		headers    []string
		status     int
	}{
		"a form can't send JSON":           {"/api/v1/login", login, []string{"Content-Type", "text/plain"}, 415},
		"a form without a type":            {"/api/v1/login", login, nil, 415},
		"a login of a foreign page":        {"/api/v1/login", login, []string{"Content-Type", "application/json", "Origin", "https://evil.example"}, 403},
		"a logout of a foreign page":       {"/api/v1/logout", "", append([]string{"Origin", "https://evil.example"}, session...), 403},
		"a logout without Origin or token": {"/api/v1/logout", "", session, 403},
		"a logout with a wrong token":      {"/api/v1/logout", "", append([]string{CSRFHeader, csrf[1:]}, session...), 403},
		"a logout with the cookie as one":  {"/api/v1/logout", "", append([]string{CSRFHeader, strings.SplitN(session[1], "=", 2)[1]}, session...), 403},
	} {
		resp := c.ask("POST", tc.path, tc.body, tc.headers...)
		assert.Equal(t, tc.status, resp.StatusCode, why)
		assert.Empty(t, resp.Cookies(), why)
	}
	assert.Equal(t, http.StatusOK, c.ask("GET", "/api/v1/session", "", session...).StatusCode, "still logged in")
	resp := c.ask("POST", "/api/v1/logout", "", append([]string{CSRFHeader, csrf}, session...)...)
	assert.Equal(t, http.StatusNoContent, resp.StatusCode)
	assert.Negative(t, resp.Cookies()[0].Expires.Year()-2000)
	assert.Equal(t, http.StatusUnauthorized, c.ask("GET", "/api/v1/session", "", session...).StatusCode, "the cookie is worth nothing any more")
	assert.Equal(t, "ada", c.audit.await(t, audit.Logout, "").Subject)
}

func TestTheCookie(t *testing.T) {
	for yaml, name := range map[string]string{authYAML: "tailrace_session", authYAML + "  session: {secure: true}": "__Host-tailrace_session"} {
		c := start(t, yaml)
		resp := c.ask("POST", "/api/v1/login", `{"username":"ada","password":"secret"}`, "Content-Type", "application/json")
		cookie := resp.Cookies()[0]
		assert.Equal(t, name, cookie.Name)
		assert.True(t, cookie.HttpOnly)
		assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
		assert.Equal(t, name[0] == '_', cookie.Secure)
		assert.Equal(t, "/", cookie.Path)
		assert.Empty(t, cookie.Domain)
		assert.GreaterOrEqual(t, len(cookie.Value), 43)
		assert.NotContains(t, resp.body, cookie.Value)
	}
	// Nobody can choose the id of somebody's session, and a new login ends the one before.
	c := start(t, authYAML)
	first, _ := c.login("bob")
	resp := c.ask("POST", "/api/v1/login", `{"username":"ada","password":"secret"}`, append([]string{"Content-Type", "application/json"}, first...)...)
	assert.NotContains(t, first[1], resp.Cookies()[0].Value)
	assert.Equal(t, http.StatusUnauthorized, c.ask("GET", "/api/v1/session", "", first...).StatusCode)
	resp = c.ask("POST", "/api/v1/login", `{"username":"ada","password":"secret"}`, "Content-Type", "application/json", "Cookie", "tailrace_session=chosen")
	assert.NotEqual(t, "chosen", resp.Cookies()[0].Value)
}

func TestLoginsThatAreNone(t *testing.T) {
	c := start(t, authYAML)
	for body, status := range map[string]int{
		`{"username":"ada","password":"wrong"}`:               401,
		`{"username":"","password":"secret"}`:                 400,
		`{"token":"tlr_0011223344556677_x"}`:                  401,
		`{"token":"x","username":"ada"}`:                      400,
		`{}`:                                                  400,
		`{"username":"ada","password":"secret","admin":true}`: 400,
		`not json`: 400,
		`{"username":"ada","password":"` + strings.Repeat("x", maxLoginBytes) + `"}`: 400,
		`{"username":"mallory","password":"secret"}`:                                 403,
	} {
		resp := c.ask("POST", "/api/v1/login", body, "Content-Type", "application/json")
		assert.Equal(t, status, resp.StatusCode, body[:min(len(body), 60)])
		assert.Empty(t, resp.Cookies())
		assert.NotContains(t, resp.body, "secret")
	}
	e := c.audit.await(t, audit.Login, reasonCredential)
	assert.Equal(t, "127.0.0.1", e.Client)
	assert.Equal(t, "mallory", c.audit.await(t, audit.Login, reasonProject).Subject)
}

func TestGuessing(t *testing.T) {
	c := start(t, authYAML)
	token := c.token("ci", "viewer", 0, "shop")
	limited := 0
	for i := range 30 {
		resp := c.ask("POST", "/api/v1/login", fmt.Sprintf(`{"username":"ada","password":"guess %d"}`, i), "Content-Type", "application/json")
		if resp.StatusCode == http.StatusTooManyRequests {
			limited++
			assert.Regexp(t, `^[1-9][0-9]?$`, resp.Header.Get("Retry-After"))
		} else {
			require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		}
	}
	assert.Equal(t, 20, limited)
	// The right one neither, by no way; others are not hit.
	assert.Equal(t, http.StatusTooManyRequests,
		c.ask("POST", "/api/v1/login", `{"username":"ada","password":"secret"}`, "Content-Type", "application/json").StatusCode)
	assert.Equal(t, http.StatusTooManyRequests, c.ask("GET", "/api/v1/session", "", basic("ada")...).StatusCode)
	c.login("bob")
	assert.Equal(t, http.StatusOK, c.ask("GET", "/api/v1/session", "", token...).StatusCode)
	c.audit.await(t, audit.Login, reasonLimit)
	c.audit.await(t, audit.Refusal, reasonLimit)
}

// Neither the log nor the audit has what somebody could log in with.
func TestSecretsAreNowhere(t *testing.T) {
	c := start(t, authYAML)
	token := c.token("ci", "viewer", 0, "shop")
	secret := strings.TrimPrefix(token[1], "Bearer ")
	session, csrf := c.login("ada")
	c.ask("GET", "/api/v1/session?token="+secret+"&api_key=K-"+secret, "", "Authorization", "Bearer "+secret+"x", "Sec-Fetch-Site", "cross-site")
	c.ask("GET", "/api/v1/session", "", "Authorization", "Bearer "+secret+"y")
	c.ask("POST", "/api/v1/login", `{"username":"ada","password":"p4ssw0rd-guess"}`, "Content-Type", "application/json")
	c.ask("POST", "/api/v1/login", `{"token":"`+secret+`z"}`, "Content-Type", "application/json")
	c.audit.await(t, audit.Refusal, reasonSite)
	c.audit.await(t, audit.Refusal, reasonCredential)
	c.audit.await(t, audit.Login, reasonCredential)
	cookie := strings.SplitN(session[1], "=", 2)[1]
	c.audit.mu.Lock()
	defer c.audit.mu.Unlock()
	text := fmt.Sprintf("%+v", c.audit.got)
	for _, entry := range c.log.All() {
		text += fmt.Sprint(entry.Message, entry.ContextMap())
	}
	for _, s := range []string{secret[len(secret)-20:], "p4ssw0rd-guess", cookie, csrf} {
		assert.NotContains(t, text, s)
	}
}
