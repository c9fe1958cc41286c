// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// leases is the table that keeps two collectors from migrating one database at the same time.
const leases = "tailrace_migrations_lock"

// leaseTTL is how long a holder that died keeps others waiting. All times are the server's.
const leaseTTL = 30 * time.Second

var errLeaseLost = errors.New("the migration lock was lost")

// lease is a lock without a lock manager: each contender inserts a row, then looks whether a live row of another is
// there, and if so withdraws and tries again after a random pause. Of two contenders the later insert always
// sees the earlier one, so at most one holds. A holder renews its row; one that died is ignored after leaseTTL.
// Migrations are idempotent, so a mistake here (a server with delayed reads) is survived.
type lease struct {
	conn  driver.Conn
	table string
	owner string
	seq   uint64
	ttl   time.Duration
}

func newLease(conn driver.Conn, database string) *lease {
	return &lease{conn: conn, table: quote(database) + "." + leases, owner: uuid.NewString(), ttl: leaseTTL}
}

func leaseTable() string {
	return "CREATE TABLE IF NOT EXISTS {{database}}." + leases + ` (
    owner String, seq UInt64, released Bool, beat DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
) ENGINE = MergeTree
ORDER BY (owner, seq) TTL toDateTime(beat) + INTERVAL 1 DAY`
}

// do runs f while holding the lock. f's context ends when the lock is lost.
func (l *lease) do(ctx context.Context, f func(context.Context) error) error {
	if err := l.acquire(ctx); err != nil {
		return fmt.Errorf("wait for the migration lock: %w", err)
	}
	held, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.renew(held, cancel)
	}()
	err := f(held)
	if err != nil && errors.Is(context.Cause(held), errLeaseLost) {
		err = errors.Join(errLeaseLost, err)
	}
	cancel(nil)
	<-done
	// Also when ctx has ended: others need not wait for the lease to expire.
	release, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer stop()
	_ = l.beat(release, true) // failing, it expires by itself
	return err
}

func (l *lease) acquire(ctx context.Context) error {
	for {
		others, err := l.others(ctx)
		if err == nil && !others {
			if err = l.beat(ctx, false); err == nil {
				if others, err = l.others(ctx); err == nil && !others {
					return nil
				}
				err = errors.Join(err, l.beat(context.WithoutCancel(ctx), true))
			}
		}
		if err != nil {
			return ended(ctx, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50*time.Millisecond + rand.N(200*time.Millisecond)):
		}
	}
}

// ended adds the context's own error to one that its end caused: the driver hands the deadline to the socket, which reports
// a time-out of its own, now and then a moment before the context.
func ended(ctx context.Context, err error) error {
	cause := ctx.Err()
	var timeout net.Error
	if _, has := ctx.Deadline(); cause == nil && has && errors.As(err, &timeout) && timeout.Timeout() {
		cause = context.DeadlineExceeded
	}
	return errors.Join(cause, err)
}

// renew keeps the lease alive until ctx ends; when it could not for too long it ends ctx itself.
func (l *lease) renew(ctx context.Context, lost context.CancelCauseFunc) {
	last := time.Now()
	tick := time.NewTicker(l.ttl / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		attempt, stop := context.WithTimeout(ctx, l.ttl/6)
		err := l.beat(attempt, false)
		stop()
		if err == nil {
			last = began
		} else if time.Since(last) > l.ttl/2 {
			lost(errLeaseLost)
			return
		}
	}
}

func (l *lease) beat(ctx context.Context, released bool) error {
	l.seq++
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0}))
	return l.conn.Exec(ctx, "INSERT INTO "+l.table+" (owner, seq, released) VALUES (?, ?, ?)", l.owner, l.seq, released)
}

// others reports whether somebody else holds or wants the lock.
func (l *lease) others(ctx context.Context) (bool, error) {
	var n uint64
	err := l.conn.QueryRow(ctx, `SELECT count() FROM (
    SELECT owner, argMax(released, seq) AS gone, max(beat) AS last FROM `+l.table+` WHERE owner != ? GROUP BY owner
) WHERE NOT gone AND last > now64(3, 'UTC') - toIntervalMillisecond(?)`, l.owner, l.ttl.Milliseconds()).Scan(&n)
	return n > 0, err
}
