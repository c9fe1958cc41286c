// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tailrace/tailrace/extension/objectstoreextension/internal/metadata"
)

const (
	directionUpload   = "upload"
	directionDownload = "download"

	stateWaiting = "waiting"
	stateLoading = "loading"
	stateForeign = "foreign"
)

// observer counts what happens.
type observer struct{ tb *metadata.TelemetryBuilder }

func (o observer) transferred(direction string, bytes int64) {
	way := attribute.String("direction", direction)
	o.tb.ObjectStoreBytes.Add(context.Background(), bytes, metric.WithAttributes(way))
	o.tb.ObjectStoreTransfers.Add(context.Background(), 1, metric.WithAttributes(way, attribute.String("outcome", "ok")))
}

func (o observer) failed(direction string) {
	o.tb.ObjectStoreTransfers.Add(context.Background(), 1, metric.WithAttributes(attribute.String("direction", direction), attribute.String("outcome", "error")))
}

func (o observer) segments(state string, n int) {
	o.tb.ObjectStoreSegments.Record(context.Background(), int64(n), metric.WithAttributes(attribute.String("state", state)))
}
