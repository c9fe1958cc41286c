// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package otlpjson

import "time"

var start = time.Now()

// cpuTime stands in where the system has no simple answer.
func cpuTime() time.Duration { return time.Since(start) }
