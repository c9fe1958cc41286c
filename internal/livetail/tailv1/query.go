// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailv1

import (
	"encoding/hex"
	"net/url"
	"time"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/recordjson"
)

// slack is how much earlier than its arrival a record's own time may usually be.
const slack = time.Minute

// appendQueries names the REST queries that return what the rings have lost. They may return more: what arrived a little
// before and after, and what a filter would leave out.
func appendQueries(o *recordjson.Object, ch livetail.Channel, g *livetail.Gap) {
	o.Key("query")
	o.B = append(o.B, '[')
	for i, q := range Queries(ch, g.From, g.To) {
		if i > 0 {
			o.B = append(o.B, ',')
		}
		o.B = recordjson.AppendString(o.B, q)
	}
	o.B = append(o.B, ']')
}

// Queries are the REST queries for what a channel showed between two times; zero times are open ends.
func Queries(ch livetail.Channel, from, to time.Time) []string {
	params := url.Values{}
	if !from.IsZero() {
		params.Set("start", from.Add(-slack).UTC().Format(time.RFC3339Nano))
	}
	if !to.IsZero() {
		params.Set("end", to.Add(time.Second).UTC().Format(time.RFC3339Nano))
	}
	query := func(path, key, value string) string {
		p := url.Values{}
		for k, v := range params {
			p[k] = v
		}
		if key != "" {
			p.Set(key, value)
		}
		if len(p) == 0 {
			return "/api/v1/" + path
		}
		return "/api/v1/" + path + "?" + p.Encode()
	}
	switch ch.Kind {
	case livetail.ChannelServer:
		return []string{query("logs", "server", ch.ID)}
	case livetail.ChannelBuild:
		return []string{query("logs", "build", ch.ID)}
	case livetail.ChannelDeployment:
		return []string{query("logs", "deployment", ch.ID)}
	case livetail.ChannelTrace:
		return []string{"/api/v1/traces/" + hex.EncodeToString(ch.Trace[:]), query("logs", "trace_id", hex.EncodeToString(ch.Trace[:]))}
	case livetail.ChannelLogs:
		return []string{query("logs", "project", ch.ID)}
	case livetail.ChannelSpans:
		return []string{query("spans", "project", ch.ID)}
	case livetail.ChannelMetrics:
		return []string{query("metrics", "project", ch.ID)}
	case livetail.ChannelScores:
		return []string{query("scores", "project", ch.ID)}
	case livetail.ChannelProject:
		return []string{query("logs", "project", ch.ID), query("spans", "project", ch.ID), query("scores", "project", ch.ID)}
	default:
		return []string{query("logs", "", ""), query("spans", "", ""), query("scores", "", "")}
	}
}
