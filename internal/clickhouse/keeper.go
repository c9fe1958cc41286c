// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Timing of a Keeper; the zero value of a field means its default.
type Timing struct {
	// Check is how often the schema is looked at while all is well (30 s).
	Check time.Duration
	// Probe is how often the server is asked whether it is still there (2 s). A connection that had to be dialled
	// anew leads to a Check at once.
	Probe time.Duration
	// Attempt bounds one Check that finds everything in place, or its wait for the first answer (10 s).
	Attempt time.Duration
	// Migrate bounds each statement of a migration, or each part of a table whose rows it carries over (10 min).
	Migrate time.Duration
	// MinBackoff and MaxBackoff bound the pause after a failure (50 ms, 5 s).
	MinBackoff, MaxBackoff time.Duration
	// Grace is how long a server that was never seen may be away before that is reported (1.5 s): one that is
	// started together with the collector is not a fault.
	Grace time.Duration
}

func (t Timing) withDefaults() Timing {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Check, 30 * time.Second}, {&t.Probe, 2 * time.Second}, {&t.Attempt, 10 * time.Second}, {&t.Migrate, 10 * time.Minute},
		{&t.MinBackoff, 50 * time.Millisecond}, {&t.MaxBackoff, 5 * time.Second}, {&t.Grace, 1500 * time.Millisecond},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}

var errNotTried = errors.New("ClickHouse has not answered yet")

// Keeper keeps the schema of one database in place for as long as Run runs. It implements Store.
type Keeper struct {
	server   Server
	timing   Timing
	migrator Migrator
	changed  func(error)
	admin    driver.Conn
	conn     driver.Conn
	dials    dialer // of admin
	closed   sync.Once

	mu    sync.Mutex
	err   error         // nil: ready
	ready chan struct{} // closed while ready
}

var _ Store = (*Keeper)(nil)

// NewKeeper opens no connection yet. The migrator's Conn, Database and Hosts are set by the keeper; changed is called from
// Run whenever ClickHouse becomes ready (nil) or the reason why it is not changes.
func NewKeeper(server Server, timing Timing, migrator Migrator, changed func(error)) (*Keeper, error) {
	if err := server.Validate(); err != nil {
		return nil, err
	}
	k := &Keeper{server: server, timing: timing.withDefaults(), migrator: migrator, changed: changed, err: errNotTried, ready: make(chan struct{})}
	var err error
	// Two connections: statements, and the lock's renewal.
	if k.admin, err = server.open(2, min(maxDialTimeout, k.timing.Attempt), &k.dials); err != nil {
		return nil, err
	}
	if k.conn, err = server.open(8, maxDialTimeout, new(dialer)); err != nil {
		return nil, errors.Join(err, k.admin.Close())
	}
	k.migrator.Conn, k.migrator.Database, k.migrator.Limit = k.admin, server.Database, k.timing.Migrate
	if c := k.migrator.Cluster; c != nil {
		k.migrator.Hosts = NewHosts(server, c.Name, min(maxDialTimeout, k.timing.Attempt))
	}
	return k, nil
}

// Conn implements Store.
func (k *Keeper) Conn() driver.Conn { return k.conn }

// Database implements Store.
func (k *Keeper) Database() string { return k.server.Database }

// WaitReady implements Store.
func (k *Keeper) WaitReady(ctx context.Context) error {
	for {
		k.mu.Lock()
		err, ready := k.err, k.ready
		k.mu.Unlock()
		if err == nil {
			return nil
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return fmt.Errorf("the ClickHouse schema is not ready: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// Close closes the connections. Call it after Run has returned.
func (k *Keeper) Close() error {
	var err error
	k.closed.Do(func() {
		err = errors.Join(k.admin.Close(), k.conn.Close())
		if k.migrator.Hosts != nil {
			err = errors.Join(err, k.migrator.Hosts.Close())
		}
	})
	return err
}

// Run keeps the schema until ctx ends. Call it once.
func (k *Keeper) Run(ctx context.Context) {
	defer context.AfterFunc(ctx, k.dials.interrupt)()
	if k.migrator.Hosts != nil {
		defer context.AfterFunc(ctx, k.migrator.Hosts.dials.interrupt)()
	}
	began, seen, backoff := time.Now(), false, k.timing.MinBackoff
	reported := ""
	for ctx.Err() == nil {
		err := k.check(ctx)
		dials := k.dials.dialled()
		if ctx.Err() != nil {
			return
		}
		k.set(err)
		seen = seen || err == nil
		if cause := causeOf(err); cause != reported && (err == nil || seen || time.Since(began) >= k.timing.Grace || !errors.As(err, new(*unreachableError))) {
			reported = cause
			if k.changed != nil {
				k.changed(err)
			}
		}
		switch {
		case err == nil:
			backoff = k.timing.MinBackoff
			k.watch(ctx, dials)
		case errors.As(err, new(*RefusedError)), errors.As(err, new(*PendingError)), refusedLogin(err):
			// Only a human can change that; look again at the normal pace. (A ClickHouse that was started by
			// `clickhouse local`, as the embedded one is, does not even survive a refused login: uncaught exception.)
			sleep(ctx, k.timing.Check)
		default:
			sleep(ctx, backoff/2+rand.N(backoff/2+1))
			backoff = min(backoff*3/2, k.timing.MaxBackoff)
		}
	}
}

// unreachableError: the server does not answer at all.
type unreachableError struct {
	endpoint string
	err      error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("ClickHouse at %s does not answer; trying again, data stays in its files meanwhile (is it running, and are endpoint, username and password right?): %v", e.endpoint, e.err)
}
func (e *unreachableError) Unwrap() error { return e.err }

func (k *Keeper) check(ctx context.Context) error {
	ping, stop := context.WithTimeout(ctx, k.timing.Attempt)
	err := k.admin.Ping(ping)
	stop()
	if refusedLogin(err) {
		return fmt.Errorf("ClickHouse at %s refuses the login; data stays in its files meanwhile (are username and password right?): %w", k.server.Endpoint, err)
	}
	if err != nil {
		return &unreachableError{k.server.Endpoint, err}
	}
	return k.migrator.Run(ctx)
}

// watch returns when the schema should be looked at again: after Check, or as soon as the server did not answer or
// was dialled anew since the last check (dials).
func (k *Keeper) watch(ctx context.Context, dials int) {
	check := time.NewTimer(k.timing.Check)
	defer check.Stop()
	probe := time.NewTicker(k.timing.Probe)
	defer probe.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-check.C:
			return
		case <-probe.C:
		}
		ping, stop := context.WithTimeout(ctx, k.timing.Attempt)
		err := k.admin.Ping(ping)
		stop()
		if err != nil || k.dials.dialled() != dials {
			return
		}
	}
}

func (k *Keeper) set(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if was := k.err == nil; was != (err == nil) {
		if was {
			k.ready = make(chan struct{})
		} else {
			close(k.ready)
		}
	}
	k.err = err
}

func refusedLogin(err error) bool {
	var e *clickhouse.Exception
	return errors.As(err, &e) && e.Code == 516 // AUTHENTICATION_FAILED
}

var localPort = regexp.MustCompile(`\S+:\d+->`)

// causeOf makes failures comparable: the local port of a connection differs every time.
func causeOf(err error) string {
	if err == nil {
		return "ready"
	}
	return localPort.ReplaceAllString(err.Error(), "")
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
