// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/insert"
)

// classes are the engine's words for what ClickHouse answers. The README has the table of codes in words; a test compares them.
var classes = map[insert.Class]ingest.Class{
	insert.Unknown:  ingest.Heals, // not ClickHouse's, so it is for the consumer to say when it is permanent
	insert.Heals:    ingest.Heals,
	insert.Doubtful: ingest.Doubtful,
	insert.Refused:  ingest.Refused,
}

// classify says what an error of the next consumer means.
func classify(err error) (ingest.Class, string) {
	if consumererror.IsPermanent(err) {
		return ingest.Permanent, ""
	}
	class, name := insert.Classify(err)
	return classes[class], name
}
