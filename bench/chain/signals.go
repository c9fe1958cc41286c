// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/tailrace/tailrace/bench/agentdata"

const (
	spans = agentdata.Spans
	logs  = agentdata.Logs
)
