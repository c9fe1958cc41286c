// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identity

import "go.opentelemetry.io/collector/pdata/plog"

// StampLog gives a log record a uid when it has none, and makes LogRecord.EventName and the attribute event.name say
// the same: readers of one or the other see it. Where both are set and differ, EventName wins: the attribute is
// its deprecated form. A record without any time was observed now: stores would have it expire, as one of 1970. uids must hold at least
// one ULID. It reports whether a uid was stamped.
func StampLog(record plog.LogRecord, uids *Range) (stamped bool) {
	if record.Timestamp() == 0 && record.ObservedTimestamp() == 0 {
		record.SetObservedTimestamp(uids.Time())
	}
	attrs := record.Attributes()
	name := record.EventName()
	hasUID, mirrored := false, false
	for key, value := range attrs.All() {
		switch key {
		case AttrLogUID:
			hasUID = value.AsString() != ""
		case AttrEventName:
			text := value.AsString()
			mirrored = text == name
			if name == "" {
				record.SetEventName(text)
				mirrored = true
			}
		}
	}
	grow := 0
	if !hasUID {
		grow++
	}
	if name != "" && !mirrored {
		grow++
	}
	if grow == 0 {
		return false
	}
	attrs.EnsureCapacity(attrs.Len() + grow)
	if name != "" && !mirrored {
		attrs.PutStr(AttrEventName, name)
	}
	if !hasUID {
		attrs.PutStr(AttrLogUID, uids.Next())
	}
	return !hasUID
}
