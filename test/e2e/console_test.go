// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// team is the shipped config/team.yaml with users: ada operates everything, bob reads shop and shop-*, eve reads support, mallory is in no rule.
type team struct {
	*product
	rules string
}

func newTeam(t *testing.T) *team {
	t.Helper()
	dir := t.TempDir()
	users := ""
	for _, user := range []string{"ada", "bob", "eve", "mallory"} {
		hash, err := exec.Command("openssl", "passwd", "-6", "pw-"+user).Output()
		require.NoError(t, err)
		users += user + ":" + string(hash)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(users), 0o600))
	tm := &team{rules: filepath.Join(dir, "rules.yaml")}
	tm.setRules("shop, 'shop-*'")
	t.Setenv("TAILRACE_HTPASSWD", filepath.Join(dir, "htpasswd"))
	t.Setenv("TAILRACE_RULES", tm.rules)
	tm.product = newProduct(t, "config/team.yaml")
	return tm
}

func (tm *team) setRules(bob string) {
	text := "rules:\n- {subjects: [ada], role: operator, projects: ['*']}\n- {subjects: [bob], role: viewer, projects: [" + bob +
		"]}\n- {subjects: [eve], role: viewer, projects: [support]}\n"
	if err := os.WriteFile(tm.rules+".new", []byte(text), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(tm.rules+".new", tm.rules); err != nil {
		panic(err)
	}
}

// tailctl runs tailctl token with the product's file, and returns its standard output.
func (tm *team) tailctl(args ...string) string {
	tm.t.Helper()
	cmd := exec.Command(filepath.Join(tm.root, "_build", "tailctl"), append([]string{"token"}, args...)...)
	cmd.Env = append(os.Environ(), "TAILRACE_DATA="+tm.data)
	out, err := cmd.Output()
	require.NoError(tm.t, err)
	return strings.TrimSpace(string(out))
}

type credential []string // pairs of a header and its value

// basicOf is a user with his password, "pw-" and the name.
func basicOf(user string) credential {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, "pw-"+user)
	return credential{"Authorization", r.Header.Get("Authorization")}
}

func bearer(token string) credential { return credential{"Authorization", "Bearer " + token} }

// call asks the console; the error is one of the network.
func (p *product) call(method, path, body string, headers ...string) (int, string, http.Header, error) {
	req, err := http.NewRequest(method, "http://"+p.tail+path, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), resp.Header, err
}

func (tm *team) get(path string, who credential, more ...string) (int, string) {
	tm.t.Helper()
	status, body, _, err := tm.call("GET", path, "", append(slices.Clone([]string(who)), more...)...)
	require.NoError(tm.t, err)
	return status, body
}

// login returns the session of a browser.
func (tm *team) login(user string) (cookie credential, csrf string) {
	tm.t.Helper()
	status, body, header, err := tm.call("POST", "/api/v1/login", fmt.Sprintf(`{"username":%q,"password":%q}`, user, "pw-"+user), "Content-Type", "application/json")
	require.NoError(tm.t, err)
	require.Equal(tm.t, http.StatusOK, status, body)
	set := header.Get("Set-Cookie")
	require.Contains(tm.t, set, "HttpOnly")
	require.Contains(tm.t, set, "SameSite=Strict")
	var answer struct{ CSRF string }
	require.NoError(tm.t, json.Unmarshal([]byte(body), &answer))
	value, _, _ := strings.Cut(set, ";")
	return credential{"Cookie", value}, answer.CSRF
}

// projects that have data; each of its records says its project in clear.
var everyProject = []string{"shop", "shop-eu", "support", "other"}

// mark is in the bodies and names of a project's records.
func mark(project string) string { return "mark(" + project + ")" }

// fill sends spans and logs of all projects, and waits until they are stored.
func (tm *team) fill() {
	tm.t.Helper()
	for _, project := range everyProject {
		tm.await(20*time.Second, "accepted", func() error { return tm.sendLogs(logs(project, mark(project), 5)) })
		require.NoError(tm.t, tm.sendTraces(spans(project, mark(project), 5)))
	}
	tm.awaitCount(60*time.Second, 20, "SELECT count() FROM tailrace.otel_logs WHERE Body LIKE 'mark(%'")
	tm.awaitCount(60*time.Second, 20, "SELECT count() FROM tailrace.otel_traces")
}

func TestTeam(t *testing.T) {
	tm := newTeam(t)
	tm.start()
	tm.waitReady()
	tm.fill()
	viewer := tm.tailctl("create", "viewer", "--project", "shop")
	// The last one of the file: when the console knows it, it knows the others too, and the short one's 401 means expired.
	expired := tm.tailctl("create", "short", "--project", "*", "--expires", "1s")
	operator := tm.tailctl("create", "operator", "--project", "support", "--role", "operator")
	tm.await(10*time.Second, "known tokens", func() error {
		if status, body := tm.get("/api/v1/session", bearer(operator)); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	tm.await(10*time.Second, "an expired token", func() error {
		if status, _ := tm.get("/api/v1/session", bearer(expired)); status != http.StatusUnauthorized {
			return fmt.Errorf("%d", status)
		}
		return nil
	})
	session, csrf := tm.login("bob")

	t.Run("matrix", func(t *testing.T) { tm.matrix(t, viewer, operator, expired, session) })
	t.Run("cross site", func(t *testing.T) {
		for why, tc := range map[string]struct {
			method, path string
			headers      []string
		}{
			"rebinding":         {"GET", "/api/v1/traces", append([]string{"Host", "evil.example"}, basicOf("ada")...)},
			"rebinding, UI":     {"GET", "/", []string{"Host", "evil.example"}},
			"a foreign page":    {"GET", "/api/v1/traces", append([]string{"Origin", "https://evil.example"}, session...)},
			"another port":      {"POST", "/api/v1/logout", append([]string{"Origin", "http://localhost:1", "X-CSRF-Token", csrf}, session...)},
			"a logout, no CSRF": {"POST", "/api/v1/logout", session},
			"an image":          {"GET", "/api/v1/traces", append([]string{"Sec-Fetch-Site", "cross-site"}, session...)},
		} {
			status, _, _, err := tm.call(tc.method, tc.path, "", tc.headers...)
			require.NoError(t, err)
			assert.Equal(t, http.StatusForbidden, status, why)
		}
		status, _ := tm.get("/api/v1/session", session)
		assert.Equal(t, http.StatusOK, status, "still logged in")
	})
	t.Run("live tail", func(t *testing.T) { tm.liveTail(t, session) })
	t.Run("reload", func(t *testing.T) { tm.reload(t, session, viewer) })
	t.Run("guessing", func(t *testing.T) {
		limited := false
		for i := range 30 {
			status, _, header, err := tm.call("POST", "/api/v1/login", fmt.Sprintf(`{"username":"eve","password":"guess-%d"}`, i), "Content-Type", "application/json")
			require.NoError(t, err)
			limited = limited || status == http.StatusTooManyRequests && header.Get("Retry-After") != ""
		}
		assert.True(t, limited)
		status, _ := tm.get("/api/v1/session", basicOf("ada"))
		assert.Equal(t, http.StatusOK, status)
	})
	t.Run("audit", func(t *testing.T) { tm.audited(t, viewer, csrf) })
	t.Run("ClickHouse away", func(t *testing.T) { tm.away(t, session) })
	tm.stop()
	raw, err := os.ReadFile(filepath.Join(tm.data, "tailrace.log"))
	require.NoError(t, err)
	for _, secret := range []string{viewer, operator, "pw-bob", "guess-", csrf, session[1]} {
		assert.NotContains(t, string(raw), secret)
	}
}

// matrix asks every route as everybody, and looks for records of foreign projects in what comes back.
func (tm *team) matrix(t *testing.T, viewer, operator, expired string, session credential) {
	var document struct{ Paths map[string]map[string]any }
	status, body := tm.get("/api/v1/openapi.json", basicOf("ada"))
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, json.Unmarshal([]byte(body), &document))
	var traceIDs []string
	_, body = tm.get("/api/v1/spans?limit=100", basicOf("ada"))
	var spans struct {
		Data []struct {
			TraceID string `json:"trace_id"`
			SpanID  string `json:"span_id"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(strings.NewReplacer(`"traceId"`, `"trace_id"`, `"spanId"`, `"span_id"`).Replace(body)), &spans))
	require.NotEmpty(t, spans.Data)
	traces := map[string]bool{}
	for _, s := range spans.Data { // one of each trace, and so of each project
		if !traces[s.TraceID] {
			traces[s.TraceID] = true
			traceIDs = append(traceIDs, s.TraceID+"/"+s.SpanID)
		}
	}
	require.GreaterOrEqual(t, len(traceIDs), len(everyProject))
	var paths []string
	for path, methods := range document.Paths {
		if methods["get"] == nil || path == "/session" || path == "/openapi.json" || path == "/tail" {
			continue
		}
		switch {
		case strings.Contains(path, "{traceId}/{spanId}"):
			for _, id := range traceIDs {
				paths = append(paths, "/spans/"+id)
			}
		case strings.Contains(path, "{traceId}"):
			for _, id := range traceIDs {
				paths = append(paths, "/traces/"+strings.Split(id, "/")[0])
			}
		default:
			path = strings.NewReplacer("{serverId}", "web-1", "{buildId}", "b-1", "{uid}", "x").Replace(path)
			paths = append(paths, path)
			if path != "/pipeline" {
				for _, project := range everyProject {
					paths = append(paths, path+"?project="+project)
				}
			}
		}
	}
	require.Greater(t, len(paths), 50)
	for _, who := range []struct {
		name       string
		credential credential
		sees       []string
	}{
		{"nobody", nil, nil},
		{"expired", bearer(expired), nil},
		{"mallory, in no rule", basicOf("mallory"), nil},
		{"viewer token", bearer(viewer), []string{"shop"}},
		{"operator token", bearer(operator), []string{"support"}},
		{"bob", basicOf("bob"), []string{"shop", "shop-eu"}},
		{"bob's browser", session, []string{"shop", "shop-eu"}},
		{"ada", basicOf("ada"), everyProject},
	} {
		answers, seen := 0, map[string]bool{}
		for _, path := range paths {
			accepts := []string{"application/json", "application/x-ndjson"}
			if strings.Contains(path, "?") {
				accepts = accepts[:1]
			}
			for _, accept := range accepts {
				status, body := tm.get("/api/v1"+path, who.credential, "Accept", accept)
				if who.sees == nil {
					require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, status, "%s %s", who.name, path)
				}
				require.NotEqual(t, http.StatusInternalServerError, status, "%s %s: %s", who.name, path, body)
				if status == http.StatusOK {
					answers++
				} else {
					continue
				}
				for _, project := range everyProject {
					if strings.Contains(body, mark(project)) || strings.Contains(body, `"`+project+`"`) {
						seen[project] = true
						require.Contains(t, who.sees, project, "%s sees %s at %s: %s", who.name, project, path, body)
					}
				}
			}
		}
		require.Equal(t, who.sees != nil, answers > 0, who.name)
		for _, project := range who.sees {
			require.True(t, seen[project], "%s does not see %s", who.name, project)
		}
	}
}

// liveTail: only records of one's own projects leave, whatever was subscribed to.
func (tm *team) liveTail(t *testing.T, session credential) {
	v := tm.watchAs(session, "*")
	for _, project := range everyProject {
		require.NoError(t, tm.sendLogs(logs(project, "live("+project+")", 1)))
	}
	v.await("a line of shop-eu", func(m message) bool { return strings.Contains(string(m.Payload), "live(shop-eu)") })
	for _, m := range v.all() {
		for _, foreign := range []string{"live(support)", "live(other)"} {
			require.NotContains(t, string(m.Payload), foreign)
		}
	}
	// Nobody is told who he is not.
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+tm.tail+"/ws", nil)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
	for err == nil {
		var raw []byte
		_, raw, err = conn.ReadMessage()
		require.NotContains(t, string(raw), "live(")
	}
	require.True(t, websocket.IsCloseError(err, 4001, 4401, 4408), "%v", err)
	status, _ := tm.get("/api/v1/tail?channel=project:shop", nil)
	assert.Equal(t, http.StatusUnauthorized, status)
	status, _ = tm.get("/api/v1/tail?channel=project:support", session)
	assert.Equal(t, http.StatusForbidden, status)
}

// watchAs is watch with a credential.
func (tm *team) watchAs(who credential, channels ...string) *viewer {
	tm.t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+tm.tail+"/ws", http.Header{who[0]: {who[1]}})
	require.NoError(tm.t, err)
	require.NoError(tm.t, resp.Body.Close())
	v := &viewer{t: tm.t, conn: conn, done: make(chan struct{})}
	go v.read()
	tm.t.Cleanup(func() {
		_ = conn.Close()
		<-v.done
	})
	for _, channel := range channels {
		v.send(`{"type":"subscribe","payload":{"channel":"` + channel + `"}}`)
		v.await("subscribed to "+channel, func(m message) bool { return m.Type == "subscribed" })
	}
	return v
}

// reload: rules and tokens count at once, for streams that are open too.
func (tm *team) reload(t *testing.T, session credential, viewer string) {
	v := tm.watchAs(session, "*")
	rules := func(bob, seen string) {
		tm.setRules(bob)
		tm.await(10*time.Second, "new rules", func() error {
			if _, body := tm.get("/api/v1/session", session); !strings.Contains(body, `"projects":[`+seen+`]`) {
				return fmt.Errorf("%s", body)
			}
			return nil
		})
	}
	rules("support", `"support"`)
	_, body := tm.get("/api/v1/logs", session)
	assert.Contains(t, body, mark("support"))
	assert.NotContains(t, body, mark("shop"))
	for _, project := range []string{"shop", "support"} {
		require.NoError(t, tm.sendLogs(logs(project, "after-"+project, 1)))
	}
	v.await("a line of the new project", func(m message) bool { return strings.Contains(string(m.Payload), "after-support") })
	for _, m := range v.all() {
		require.NotContains(t, string(m.Payload), "after-shop")
	}
	tm.tailctl("revoke", "viewer")
	tm.await(10*time.Second, "a revoked token", func() error {
		if status, _ := tm.get("/api/v1/session", bearer(viewer)); status != http.StatusUnauthorized {
			return fmt.Errorf("%d", status)
		}
		return nil
	})
	rules("shop, 'shop-*'", `"shop","shop-*"`)
}

// audited: what happened above is in ClickHouse, in a project of its own, and nobody else could write there.
func (tm *team) audited(t *testing.T, secrets ...string) {
	status, _ := tm.get("/api/v1/logs?project=shop", basicOf("bob"), "Accept", "application/x-ndjson")
	require.Equal(t, http.StatusOK, status)
	const where = "SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['project.id'] = 'tailrace-audit'"
	for _, what := range []string{
		" AND LogAttributes['event.name'] = 'tailrace.audit.login' AND LogAttributes['user.id'] = 'bob' AND LogAttributes['tailrace.audit.outcome'] = 'success'",
		" AND LogAttributes['event.name'] = 'tailrace.audit.login' AND LogAttributes['user.id'] = 'eve' AND LogAttributes['tailrace.audit.reason'] = 'credential'",
		" AND LogAttributes['event.name'] = 'tailrace.audit.login' AND LogAttributes['tailrace.audit.reason'] = 'limit'",
		" AND LogAttributes['tailrace.audit.reason'] = 'host'",
		" AND LogAttributes['tailrace.audit.reason'] = 'csrf' AND LogAttributes['user.id'] = 'bob'",
		" AND LogAttributes['tailrace.audit.reason'] = 'project' AND LogAttributes['user.id'] = 'mallory'",
		" AND LogAttributes['event.name'] = 'tailrace.audit.export' AND LogAttributes['user.id'] = 'bob' AND LogAttributes['url.query'] = 'project=shop'",
	} {
		tm.await(30*time.Second, "audited: "+what, func() error {
			n, err := tm.count(where + what)
			if err == nil && n == 0 {
				err = fmt.Errorf("none")
			}
			return err
		})
	}
	for _, secret := range append(secrets, "pw-", "guess-") {
		n, err := tm.count("SELECT count() FROM tailrace.otel_logs WHERE position(toString(LogAttributes), ?) + position(Body, ?) > 0", secret, secret)
		require.NoError(t, err)
		require.Zero(t, n)
	}
	before, err := tm.count(where)
	require.NoError(t, err)
	require.NoError(t, tm.sendLogs(logs("tailrace-audit", "forged", 1)))
	require.NoError(t, tm.sendLogs(logs("support", "after-forged", 1)))
	tm.awaitCount(30*time.Second, 1, "SELECT count() FROM tailrace.otel_logs WHERE position(Body, 'after-forged') > 0")
	n, err := tm.count(where + " AND position(Body, 'forged') > 0")
	require.NoError(t, err)
	require.Zero(t, n, "of %d", before)
}

// away: without ClickHouse the API says so, and the live tail goes on.
func (tm *team) away(t *testing.T, session credential) {
	v := tm.watchAs(session, "*")
	pid := clickHousePID(tm.product)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	tm.await(90*time.Second, "a 503", func() error {
		status, body := tm.get("/api/v1/traces", session)
		if status != http.StatusServiceUnavailable || !strings.Contains(body, "ClickHouse") {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	require.NoError(t, tm.sendLogs(logs("shop", "while-away", 1)))
	v.await("a line while ClickHouse is away", func(m message) bool { return strings.Contains(string(m.Payload), "while-away") })
	status, body := tm.get("/api/v1/pipeline", session)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, `"ready":false`)
	status, _ = tm.get("/healthz", nil)
	assert.Equal(t, http.StatusOK, status)
	status, _ = tm.get("/readyz", nil)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	tm.await(60*time.Second, "an answer again", func() error {
		status, body := tm.get("/api/v1/traces", session)
		if status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}
