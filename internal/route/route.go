// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package route says which segment a record belongs to, whatever it is encoded as.
package route

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/identity"
)

// Project returns the id of a resource's project. The identity processor has set it; without one, the default.
func Project(r pcommon.Resource) string {
	if v, ok := r.Attributes().Get(identity.AttrProject); ok {
		if s := v.AsString(); s != "" {
			return s
		}
	}
	return identity.DefaultProject
}

// IsScore looks at the event name first: `identity` mirrors it to the attribute, but segments are written without it too.
func IsScore(rec plog.LogRecord) bool {
	if name := rec.EventName(); name != "" {
		return name == identity.EventEvaluationResult
	}
	v, ok := rec.Attributes().Get(identity.AttrEventName)
	return ok && v.Str() == identity.EventEvaluationResult
}
