// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package classic_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/livetail/classic"
)

func TestParse(t *testing.T) {
	req, err := classic.Parse([]byte(`{"type":"subscribe","id":"a","payload":{"channel":"server:x","backfill":{"records":5},"later":1},"more":2}`))
	require.NoError(t, err)
	assert.Equal(t, "server:x", req.Name)
	assert.Equal(t, 5, req.Backfill)
	assert.JSONEq(t, `{"type":"subscribed","id":"a","payload":{"channel":"server:x","backfill":{"records":3}}}`, string(classic.Subscribed(req, 3)))

	req, err = classic.Parse([]byte(`{"type":"unsubscribe","payload":{"channel":"*"}}`))
	require.NoError(t, err)
	assert.JSONEq(t, `{"type":"unsubscribed","payload":{"channel":"*"}}`, string(classic.Unsubscribed(req)))
	assert.JSONEq(t, `{"type":"subscribed","payload":{"channel":"*"}}`, string(classic.Subscribed(req, 0)))

	for _, ping := range []string{`{"type":"ping"}`, `{"type":"ping","payload":{}}`, `{"type":"ping","payload":null,"id":null}`} {
		req, err = classic.Parse([]byte(ping))
		require.NoError(t, err)
		assert.JSONEq(t, `{"type":"pong","payload":{}}`, string(classic.Pong(req)))
	}
	assert.JSONEq(t, `{"type":"connected","payload":{"clientId":"c"}}`, string(classic.Connected("c")))
	var m map[string]any
	require.NoError(t, json.Unmarshal(classic.Dropped(2, 7), &m))
	assert.Equal(t, "error", m["type"])
	assert.Equal(t, map[string]any{"code": "RECORDS_DROPPED", "dropped": 2.0, "total": 7.0, "message": m["payload"].(map[string]any)["message"]}, m["payload"])
}

func TestParseErrors(t *testing.T) {
	for in, code := range map[string]string{
		"":                                    classic.CodeInvalidMessage,
		"hello":                               classic.CodeInvalidMessage,
		"[]":                                  classic.CodeInvalidMessage,
		"null":                                classic.CodeInvalidMessage,
		"{}":                                  classic.CodeInvalidMessage,
		`{"type":7}`:                          classic.CodeInvalidMessage,
		`{"type":"ping","id":{}}`:             classic.CodeInvalidMessage,
		"{\"type\":\"\xff\"}":                 classic.CodeInvalidMessage,
		`{"type":""}`:                         classic.CodeUnknownMessageType,
		`{"type":"nope"}`:                     classic.CodeUnknownMessageType,
		`{"type":"subscribe"}`:                classic.CodeInvalidMessage,
		`{"type":"unsubscribe"}`:              classic.CodeInvalidMessage,
		`{"type":"subscribe","payload":null}`: classic.CodeInvalidMessage,
		`{"type":"subscribe","payload":"server:x"}`:                                  classic.CodeInvalidMessage,
		`{"type":"subscribe","payload":{}}`:                                          classic.CodeInvalidMessage,
		`{"type":"subscribe","payload":{"channel":5}}`:                               classic.CodeInvalidMessage,
		`{"type":"subscribe","payload":{"channel":""}}`:                              classic.CodeInvalidChannel,
		`{"type":"subscribe","payload":{"channel":"x:y"}}`:                           classic.CodeInvalidChannel,
		`{"type":"unsubscribe","payload":{"channel":"trace:1"}}`:                     classic.CodeInvalidChannel,
		`{"type":"subscribe","payload":{"channel":"*","backfill":{"records":-1}}}`:   classic.CodeInvalidMessage,
		`{"type":"subscribe","payload":{"channel":"*","backfill":{}}}`:               classic.CodeInvalidMessage,
		`{"type":"subscribe","payload":{"channel":"*","backfill":{"records":1e99}}}`: classic.CodeInvalidMessage,
		`{"type":"ping","id":"` + strings.Repeat("x", 200) + `"}`:                    classic.CodeInvalidMessage,
	} {
		_, err := classic.Parse([]byte(in))
		var re *classic.RequestError
		require.ErrorAs(t, err, &re, in)
		assert.Equal(t, code, re.Code, in)
		var m map[string]any
		require.NoError(t, json.Unmarshal(classic.Error(re), &m))
		assert.Equal(t, "error", m["type"])
	}
	_, err := classic.Parse([]byte(`{"type":"nope","id":12}`))
	var re *classic.RequestError
	require.ErrorAs(t, err, &re)
	assert.Contains(t, string(classic.Error(re)), `"id":12`)
	assert.Equal(t, `unknown message type "nope"; known are subscribe, unsubscribe and ping`, re.Message)
	_, err = classic.Parse([]byte(`[1]`))
	require.ErrorAs(t, err, &re)
	assert.Equal(t, "the message is no JSON object of the form {type, payload}", re.Message)
}

// Whatever a client sends, it is understood or answered with a valid error message.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"subscribe","id":1,"payload":{"channel":"server:x","backfill":{"records":5}}}`))
	f.Add([]byte(`{"type":"unsubscribe","id":"x","payload":{"channel":"trace:0102030405060708090a0b0c0d0e0f10"}}`))
	f.Add([]byte(`{"type":"ping"}`))
	f.Add([]byte(`{"type":"subscribe"}`))
	f.Add([]byte("\xff{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := classic.Parse(data)
		if err != nil {
			var re *classic.RequestError
			require.True(t, errors.As(err, &re))
			require.True(t, json.Valid(classic.Error(re)), "%s", classic.Error(re))
			return
		}
		for _, reply := range [][]byte{classic.Subscribed(req, 1), classic.Unsubscribed(req), classic.Pong(req)} {
			require.True(t, json.Valid(reply), "%s", reply)
		}
		require.Contains(t, []string{"subscribe", "unsubscribe", "ping"}, req.Type)
	})
}
