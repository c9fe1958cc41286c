// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/clickhouseserver/guard"
)

// Defaults of the optional fields of [Config].
const (
	DefaultUsername             = "tailrace"
	DefaultMaxServerMemoryUsage = 2 << 30
	DefaultShutdownTimeout      = 30 * time.Second
)

// Config says what to run and where. All fields but Database, Binary and Library are required.
type Config struct {
	// Path is the data folder. It is created, mode 0700, when it does not exist.
	Path string
	// TCPPort and HTTPPort are opened on 127.0.0.1, never anywhere else: TCPPort by this process, for the guard in
	// front of the native protocol, HTTPPort by ClickHouse.
	TCPPort, HTTPPort int
	// Username and Password are those of the only user who can log in.
	Username, Password string
	// Database is created before the ports open. Empty: none.
	Database string
	// Binary is an installed clickhouse, clickhouse-local or tailrace-clickhouse; empty: searched.
	Binary string
	// Library is libchdb.so; empty: beside tailrace-clickhouse.
	Library string
	// MaxServerMemoryUsage bounds the memory of the process, in bytes.
	MaxServerMemoryUsage uint64
	// ShutdownTimeout is how long a graceful stop may take before SIGKILL.
	ShutdownTimeout time.Duration
}

// State is what a [Server] is doing.
type State int

// The states of a [Server].
const (
	// Starting: the process is being started, or its predecessor waited for.
	Starting State = iota
	// Ready: it answers.
	Ready
	// Failed: it died, could not be started or does not answer; the next try comes by itself.
	Failed
	// Stopped: Stop was called.
	Stopped
)

// Options are the developer's side of a [Server]. The zero value works.
type Options struct {
	// Logger receives what ClickHouse and the server itself have to say.
	Logger *zap.Logger
	// OnState is called from one goroutine, on every change of state; err is set when it is [Failed].
	// It must not block.
	OnState func(state State, err error)
	// OnRestart is called before every start but the first.
	OnRestart func()
	// MinBackoff and MaxBackoff bound the pause before the next start: it doubles from one to the other
	// and begins anew after the process has been ready for ten seconds. Default 250 ms and 10 s.
	MinBackoff, MaxBackoff time.Duration
	// OnConnection is called with 1 and -1 at the begin and the end of every connection to the native port, and
	// OnRefused for those that ClickHouse did not get to see. They are called from many goroutines.
	OnConnection func(delta int64)
	OnRefused    func(reason guard.Reason)

	finder    finder
	innerPort func() (int, error)
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.OnState == nil {
		o.OnState = func(State, error) {}
	}
	if o.OnRestart == nil {
		o.OnRestart = func() {}
	}
	if o.MinBackoff <= 0 {
		o.MinBackoff = 250 * time.Millisecond
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 10 * time.Second
	}
	o.finder = o.finder.withDefaults()
	if o.innerPort == nil {
		o.innerPort = freeInnerPort
	}
	return o
}
