// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package foreignid makes OpenTelemetry ids of the ids of systems that have others, always the same of the same.
package foreignid

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Attributes that keep an id as it was when it had to be hashed.
const (
	AttrTraceID      = "tailrace.original.trace_id"
	AttrSpanID       = "tailrace.original.span_id"
	AttrParentSpanID = "tailrace.original.parent_span_id"
)

// Trace returns the id of a text: 32 hex digits are the id itself, also as a UUID; "" and zeros are no id; everything
// else is hashed, and then exact is false.
func Trace(text string) (id pcommon.TraceID, exact bool) {
	bare := text
	if len(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' {
		bare = strings.ReplaceAll(text, "-", "")
	}
	if decode(id[:], bare) || text == "" {
		return id, true
	}
	sum := sha256.Sum256([]byte(text))
	copy(id[:], sum[:])
	return id, false
}

// Span is Trace for 16 hex digits.
func Span(text string) (id pcommon.SpanID, exact bool) {
	if decode(id[:], text) || text == "" {
		return id, true
	}
	sum := sha256.Sum256([]byte(text))
	copy(id[:], sum[:])
	return id, false
}

func decode(id []byte, text string) bool {
	if len(text) != 2*len(id) {
		return false
	}
	if _, err := hex.Decode(id, []byte(text)); err != nil {
		clear(id)
		return false
	}
	return true
}
