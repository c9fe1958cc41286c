// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"time"

	"github.com/tailrace/tailrace/internal/pipelinestatus"
)

// failedFiles has one file, and counts how often it is put back. It stays, as no test asks twice.
type failedFiles struct{ back int }

func (*failedFiles) List(context.Context) ([]pipelinestatus.FailedFile, error) {
	return []pipelinestatus.FailedFile{{File: "logs/shop/1+0.jsonl", Signal: "logs", Type: "logs", Project: "shop", Sure: true, Segment: "1", Bytes: 5, Time: time.Unix(1, 0)}}, nil
}

func (*failedFiles) Reasons(context.Context, string, int) ([]pipelinestatus.FailedReason, int, error) {
	return nil, 0, nil
}

func (f *failedFiles) PutBack(context.Context, string) error {
	f.back++
	return nil
}
