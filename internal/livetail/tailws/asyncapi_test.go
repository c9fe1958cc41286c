// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.yaml.in/yaml/v3"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/livetailtest"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
)

// document is the AsyncAPI document.
type document struct {
	root map[string]any
}

func readDocument(t *testing.T) document {
	t.Helper()
	raw, err := os.ReadFile("../../../docs/protocol/live-tail.asyncapi.yaml")
	require.NoError(t, err)
	var d document
	require.NoError(t, yaml.Unmarshal(raw, &d.root))
	return d
}

func (d document) at(path ...string) any {
	var v any = d.root
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// message is the definition of a message, nil: there is none.
func (d document) message(typ string) map[string]any {
	m, _ := d.at("components", "messages", typ).(map[string]any)
	return m
}

// check holds a value to a schema, as far as the document uses JSON Schema; anything else in it is an error.
func (d document) check(schema any, v any, at string) error {
	s, ok := schema.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: no schema", at)
	}
	if ref, ok := s["$ref"].(string); ok {
		return d.check(d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), v, at)
	}
	for _, key := range []string{"type", "const", "enum", "required", "oneOf"} {
		if err := d.checkOne(key, s, v, at); err != nil {
			return err
		}
	}
	object, _ := v.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for name, value := range object {
		schema, known := properties[name]
		if !known {
			switch additional := s["additionalProperties"].(type) {
			case bool:
				return fmt.Errorf("%s: %s is not in the document", at, name)
			case map[string]any:
				schema, known = additional, true
			}
		}
		if known {
			if err := d.check(schema, value, at+"."+name); err != nil {
				return err
			}
		}
	}
	if items, ok := s["items"]; ok {
		list, _ := v.([]any)
		for i, value := range list {
			if err := d.check(items, value, fmt.Sprint(at, "[", i, "]")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d document) checkOne(key string, s map[string]any, v any, at string) error {
	want, ok := s[key]
	if !ok {
		return nil
	}
	switch key {
	case "type":
		types, ok := want.([]any)
		if !ok {
			types = []any{want}
		}
		if !slices.ContainsFunc(types, func(t any) bool { return isType(t, v) }) {
			return fmt.Errorf("%s: %v is no %v", at, v, want)
		}
	case "const":
		if v != want {
			return fmt.Errorf("%s: %v is not %v", at, v, want)
		}
	case "enum":
		if !slices.Contains(want.([]any), v) {
			return fmt.Errorf("%s: %v is none of %v", at, v, want)
		}
	case "required":
		object, _ := v.(map[string]any)
		for _, name := range want.([]any) {
			if _, ok := object[name.(string)]; !ok {
				return fmt.Errorf("%s: %s is missing", at, name)
			}
		}
	case "oneOf":
		for _, one := range want.([]any) {
			if d.check(one, v, at) == nil {
				return nil
			}
		}
		return fmt.Errorf("%s: %v is none of what it may be", at, v)
	}
	return nil
}

func isType(typ, v any) bool {
	switch x := v.(type) {
	case map[string]any:
		return typ == "object"
	case []any:
		return typ == "array"
	case string:
		return typ == "string"
	case bool:
		return typ == "boolean"
	case float64:
		return typ == "number" || typ == "integer" && x == math.Trunc(x)
	case int:
		return typ == "number" || typ == "integer"
	case nil:
		return typ == "null"
	default:
		return false
	}
}

func TestCheckerRefuses(t *testing.T) {
	d := readDocument(t)
	for text, wrong := range map[string]string{
		`{"sub":1,"after":1,"last":2,"filtered":0}`:                       "records is missing",
		`{"sub":1.5,"after":1,"last":2,"filtered":0,"records":[]}`:        "is no integer",
		`{"sub":1,"after":1,"last":2,"filtered":0,"records":[{}]}`:        "signal is missing",
		`{"sub":1,"after":1,"last":2,"filtered":0,"records":[],"more":1}`: "more is not in the document",
		`{"sub":1,"after":1,"last":2,"filtered":0,"records":[{"seq":1,"signal":"dream"` + `,"time":"","project":"","service":"","attributes":{}}]}`: "is none of",
	} {
		var v any
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		require.ErrorContains(t, d.check(d.message("batch")["payload"], v, "batch"), wrong)
	}
}

// anyToken lets everybody in who has a token.
type anyToken struct{}

func (anyToken) Authenticate(_ context.Context, h http.Header) (*access.Caller, error) {
	if !strings.HasPrefix(h.Get("Authorization"), "Bearer tr_") {
		return nil, access.ErrUnauthenticated
	}
	return access.NewCaller("ada", "token", time.Time{}, []access.Grant{{Role: access.RoleViewer, Projects: []access.Pattern{access.All}}}), nil
}

func (anyToken) Changed() <-chan struct{} { return nil }

// conversation is a client that knows nothing but the document.
type conversation struct {
	t    *testing.T
	d    document
	ws   *websocket.Conn
	seen map[string]int
}

func converse(t *testing.T, d document, s *livetailtest.Server) *conversation {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{d.at("info", "version").(string)}}
	ws, resp, err := dialer.Dial("ws://"+s.Addr+d.at("channels", "tail", "address").(string), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	t.Cleanup(func() { ws.Close() })
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(30*time.Second)))
	return &conversation{t: t, d: d, ws: ws, seen: map[string]int{}}
}

// next reads a message, which must be one that the document says the server sends, and look as it says.
func (c *conversation) next() (typ string, payload map[string]any, id any) {
	c.t.Helper()
	_, data, err := c.ws.ReadMessage()
	require.NoError(c.t, err)
	var m map[string]any
	require.NoError(c.t, json.Unmarshal(data, &m), "%s", data)
	typ, _ = m["type"].(string)
	shown := false
	for _, ref := range c.d.at("operations", "show", "messages").([]any) {
		shown = shown || strings.HasSuffix(ref.(map[string]any)["$ref"].(string), "/"+typ)
	}
	require.True(c.t, shown, "the document does not know %s", data)
	require.NoError(c.t, c.d.check(c.d.message(typ)["payload"], m["payload"], typ), "%s", data)
	c.seen[typ]++
	payload, _ = m["payload"].(map[string]any)
	return typ, payload, m["id"]
}

// ask sends a request and reads until its answer.
func (c *conversation) ask(typ string, payload any, id string) (string, map[string]any) {
	c.t.Helper()
	raw, err := json.Marshal(map[string]any{"type": typ, "payload": payload, "id": id})
	require.NoError(c.t, err)
	require.NoError(c.t, c.ws.WriteMessage(websocket.TextMessage, raw))
	for {
		if typ, payload, got := c.next(); got == id {
			return typ, payload
		}
	}
}

// oneLine is a history of one line, which is never sure that this is all.
type oneLine struct{}

func (oneLine) Settle(context.Context) error { return errors.New("who knows") }

func (oneLine) Read(_ context.Context, q livetail.HistoryQuery) (livetail.HistoryPage, error) {
	page := livetail.HistoryPage{Logs: plog.NewLogs(), Spans: ptrace.NewTraces()}
	if q.Signal == livetail.SignalLog {
		rl := page.Logs.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("project.id", "shop")
		rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("from the store")
	}
	return page, nil
}

// The server is driven by the examples of the document; whatever it sends is held to the document.
func TestServerSpeaksTheDocument(t *testing.T) {
	d := readDocument(t)
	s := livetailtest.Start(t, tailws.Door{Authority: anyToken{}}, func(o *livetail.Options) { o.RingRecords, o.History = 50, oneLine{} })
	s.Print("shop", "web-1", 0, 120)
	s.Span("shop", "chat", 1, 0, 0)
	c := converse(t, d, s)
	typ, _, _ := c.next()
	require.Equal(t, "hello", typ)

	requests := d.at("operations", "request", "messages").([]any)
	for _, ref := range requests { // in the order of the document, which is that of a conversation
		path := strings.Split(ref.(map[string]any)["$ref"].(string), "/")
		request := path[len(path)-1]
		def := d.message(request)
		examples, _ := def["examples"].([]any)
		require.NotEmpty(t, examples, request)
		for i, example := range examples {
			payload := example.(map[string]any)["payload"]
			require.NoError(t, d.check(def["payload"], toJSON(t, payload), request), "the example itself")
			id := fmt.Sprint(request, i)
			want, ok := def["x-reply"].(string)
			if !ok { // it has no answer: the next one does
				raw, err := json.Marshal(map[string]any{"type": request, "payload": payload, "id": id})
				require.NoError(t, err)
				require.NoError(t, c.ws.WriteMessage(websocket.TextMessage, raw))
				typ, _ := c.ask("ping", map[string]any{}, id+" then")
				assert.Equal(t, "pong", typ)
				continue
			}
			typ, answer := c.ask(request, payload, id)
			assert.Equal(t, want, typ, "%s: %v", id, answer)
		}
		refused, _ := def["x-refused"].([]any)
		for i, example := range refused {
			e := example.(map[string]any)
			typ, answer := c.ask(request, e["payload"], fmt.Sprint("refused ", request, i))
			assert.Equal(t, "error", typ, "%v", e)
			assert.Equal(t, e["error"], answer["code"], "%v", e)
		}
		if request == "subscribe" {
			s.Print("shop", "web-1", 120, 500)
		}
	}
	typ, answer := c.ask("shout", map[string]any{}, "last")
	assert.Equal(t, "error", typ)
	assert.Equal(t, "UNKNOWN_MESSAGE_TYPE", answer["code"])
	for c.seen["gap"] == 0 || c.seen["filled"] == 0 || c.seen["batch"] < 3 {
		c.next()
	}
	for _, ref := range d.at("operations", "show", "messages").([]any) {
		path := strings.Split(ref.(map[string]any)["$ref"].(string), "/")
		if name := path[len(path)-1]; name != "notice" && name != "ping" { // those come by themselves
			assert.Positive(t, c.seen[name], "%s was never seen", name)
		}
	}
}

func toJSON(t *testing.T, v any) (out any) {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &out))
	return out
}
