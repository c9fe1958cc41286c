// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package runnercontrol is the control API of a runner: its messages, the HTTP handler that serves it, the Unix socket
// that it is served on, and the client. docs/protocol/runner-control.md describes it. It knows nothing of the collector,
// and nothing of processes.
package runnercontrol
