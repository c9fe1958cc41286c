// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import "bytes"

// ParseReasonsForTest returns the kinds of the reasons.
func ParseReasonsForTest(text []byte, most int) (kinds []string, all int) {
	reasons, all, _ := parseReasons(bytes.NewReader(text), most)
	for _, r := range reasons {
		kinds = append(kinds, r.Kind)
	}
	return kinds, all
}
