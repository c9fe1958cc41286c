// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package runnerextension runs child processes: it starts them when the pipelines are ready, stops them
// while receivers still listen, and hands their output to the runner_log receiver that names it. A reload of the
// configuration hands the processes to the next instance (reload.go, handover.go); the control API (control.go) works on them.
package runnerextension
