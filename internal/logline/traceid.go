// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// unhex decodes exactly len(dst) bytes, and refuses zeros: they mean that there is no id.
func unhex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	var buf [32]byte
	copy(buf[:], s)
	if _, err := hex.Decode(dst, buf[:len(s)]); err != nil {
		clear(dst)
		return false
	}
	for _, b := range dst {
		if b != 0 {
			return true
		}
	}
	return false
}

// traceID reads 32 hex digits, 16 of them (B3), either of them as a UUID or behind a path (Google Cloud).
func (r *Record) traceID(s string) bool {
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		s = s[i+1:]
	}
	if len(s) == 16 {
		return unhex(r.TraceID[8:], s)
	}
	return unhex(r.TraceID[:], s)
}

func (r *Record) spanID(s string) bool { return unhex(r.SpanID[:], s) }

// Datadog's ids are decimal numbers of 64 bits, or hexadecimal ones of 128.
func (r *Record) datadogTrace(s string) bool {
	if len(s) == 32 {
		return unhex(r.TraceID[:], s)
	}
	return decimal(r.TraceID[8:], s)
}

func (r *Record) datadogSpan(s string) bool { return decimal(r.SpanID[:], s) }

func decimal(dst []byte, s string) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return false
	}
	binary.BigEndian.PutUint64(dst, n)
	return true
}

const traceparentLength = 55

// traceparent reads a W3C trace context: 00-{trace}-{span}-{flags}.
func (r *Record) traceparent(s string) bool {
	if len(s) < traceparentLength || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	var version, flags [1]byte
	var span [8]byte
	var trace [16]byte
	if !unhex(trace[:], s[3:35]) || !unhex(span[:], s[36:52]) {
		return false
	}
	if _, err := hex.Decode(version[:], []byte(s[:2])); err != nil || version[0] == 0xff {
		return false
	}
	if _, err := hex.Decode(flags[:], []byte(s[53:55])); err != nil {
		return false
	}
	r.TraceID, r.SpanID, r.Flags = trace, span, flags[0]
	return true
}

// textTries bounds how often a word is looked for in one line.
const textTries = 4

// traceInText looks for traceparent, trace_id=, traceId: and the like anywhere in a line.
func (r *Record) traceInText(s string) bool {
	for range textTries {
		i := strings.Index(s, "trace")
		if i < 0 {
			return false
		}
		s = s[i+len("trace"):]
		if rest, ok := strings.CutPrefix(s, "parent"); ok {
			if value := afterName(rest); len(value) >= traceparentLength &&
				(len(value) == traceparentLength || !isWord(value[traceparentLength])) && r.traceparent(value) {
				return true
			}
			continue
		}
		value, ok := idAfter(s)
		if !ok || !r.traceID(hexRun(value)) {
			continue
		}
		if i := strings.Index(s, "span"); i >= 0 {
			if value, ok := idAfter(s[i+len("span"):]); ok {
				r.spanID(hexRun(value))
			}
		}
		return true
	}
	return false
}

// idAfter skips the rest of a name such as trace_id or spanId, and what separates it from its value.
func idAfter(s string) (string, bool) {
	s = strings.TrimLeft(s, "_.-")
	if len(s) < 3 || s[0]|0x20 != 'i' || s[1]|0x20 != 'd' {
		return "", false
	}
	s = s[2:]
	value := afterName(s)
	return value, len(value) < len(s)
}

// afterName skips the signs between a name and a value.
func afterName(s string) string {
	i := 0
	for i < len(s) && i < 4 && strings.IndexByte("=: \"'", s[i]) >= 0 {
		i++
	}
	return s[i:]
}

// hexRun is the word at the beginning of s, if it is not longer than a trace id.
func hexRun(s string) string {
	i := 0
	for i < len(s) && i < 33 && isWord(s[i]) {
		i++
	}
	return s[:i]
}
