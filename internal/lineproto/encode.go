// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/tailrace/tailrace/internal/jsontext"
)

// appendLine appends a line message with its line end. text need not be valid UTF-8.
func appendLine(to []byte, seq uint64, ns int64, stream Stream, text []byte, part int, last bool) []byte {
	to = appendHead(to, typeLine, seq, ns)
	to = append(to, `,"stream":"`...)
	to = append(to, stream.String()...)
	if part > 0 {
		to = append(to, `","part":`...)
		to = strconv.AppendInt(to, int64(part), 10)
		if last {
			to = append(to, `,"last":true`...)
		}
		to = append(to, ',')
	} else {
		to = append(to, `",`...)
	}
	if utf8.Valid(text) {
		to = append(to, `"text":`...)
		to, _ = jsontext.AppendString(to, text)
	} else {
		to = append(to, `"base64":"`...)
		to = base64.StdEncoding.AppendEncode(to, text)
		to = append(to, '"')
	}
	return append(to, "}\n"...)
}

// appendEvent appends an event message with its line end.
func appendEvent(to []byte, seq uint64, ns int64, e Event) []byte {
	to = appendHead(to, typeEvent, seq, ns)
	rest, _ := json.Marshal(struct { // of such members it can't fail
		Event    string `json:"event"`
		PID      int    `json:"pid,omitempty"`
		Code     int    `json:"code"`
		Signal   string `json:"signal,omitempty"`
		Reason   string `json:"reason,omitempty"`
		UptimeMS int64  `json:"uptime_ms,omitempty"`
	}{e.Name, e.PID, e.Code, e.Signal, e.Reason, e.Uptime.Milliseconds()})
	to = append(to, ',')
	to = append(to, rest[1:]...)
	return append(to, '\n')
}

func appendHead(to []byte, kind string, seq uint64, ns int64) []byte {
	to = append(to, `{"seq":`...) // first, so that readSeq finds it
	to = strconv.AppendUint(to, seq, 10)
	to = append(to, `,"type":"`...)
	to = append(to, kind...)
	to = append(to, `","time":"`...)
	to = strconv.AppendInt(to, ns, 10)
	return append(to, '"')
}

// readSeq returns the number of a message that appendLine or appendEvent made.
func readSeq(line []byte) (uint64, bool) {
	const head = len(`{"seq":`)
	if len(line) <= head || string(line[:head]) != `{"seq":` {
		return 0, false
	}
	var seq uint64
	for i, c := range line[head:] {
		if c < '0' || c > '9' {
			return seq, i > 0 && c == ','
		}
		seq = seq*10 + uint64(c-'0')
	}
	return 0, false
}

// marshalLine returns a message with its line end.
func marshalLine(v any) []byte {
	b, _ := json.Marshal(v) // the messages of this package have no member that can fail
	return append(b, '\n')
}
