// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Where each signal of the load lands, and the expression that finds its requests' prefix.
var stored = map[string]struct{ table, key string }{
	"logs":    {"tailrace.otel_logs", "Body"},
	"traces":  {"tailrace.otel_traces", "SpanName"},
	"metrics": {"tailrace.otel_metrics_gauge", "Attributes['point']"},
}

// requireExactlyOnce waits until every acknowledged record of the loads is in ClickHouse and requires that
// no record at all, acknowledged or not, is there twice.
func requireExactlyOnce(p *product, loads ...*load) {
	p.t.Helper()
	for signal, at := range stored {
		acked := map[string]bool{}
		for _, l := range loads {
			for _, prefix := range l.acked[signal] {
				for i := range recordsPerRequest {
					acked[fmt.Sprintf("%s-%d", prefix, i)] = true
				}
			}
		}
		require.NotEmpty(p.t, acked, "the load acknowledged no %s", signal)
		p.await(60*time.Second, "every acknowledged record of "+signal, func() error {
			rows, err := p.conn.Query(p.t.Context(), fmt.Sprintf(
				"SELECT %[1]s AS key, count() FROM %[2]s WHERE ResourceAttributes['project.id'] = 'load' GROUP BY key", at.key, at.table))
			if err != nil {
				return err
			}
			defer rows.Close()
			found := 0
			for rows.Next() {
				var key string
				var n uint64
				if err := rows.Scan(&key, &n); err != nil {
					return err
				}
				if n != 1 {
					p.fail("%s: %s is there %d times", signal, key, n)
				}
				if acked[key] {
					found++
				}
			}
			if err := rows.Err(); err != nil {
				return err
			}
			if found != len(acked) {
				return fmt.Errorf("%d of %d acknowledged records", found, len(acked))
			}
			return nil
		})
		p.t.Logf("%s: %d acknowledged records, each there once", signal, len(acked))
	}
}

// Every record that a sender had acknowledged is in ClickHouse once, however often the collector is killed.
func TestKilledCollectorLosesAndDoublesNothing(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := newProduct(t, "config/otlp-only.yaml")
	random := rand.New(rand.NewPCG(1, 2))
	var loads []*load
	for kill := range 8 {
		p.start()
		p.await(30*time.Second, "healthy", p.healthy)
		l := startLoad(p, fmt.Sprintf("k%d", kill), 2, time.Millisecond)
		loads = append(loads, l)
		// Not before data flows; then at a random moment, with ClickHouse up or still starting.
		p.await(30*time.Second, "acknowledging", func() error {
			if l.count("logs") < 20 || l.count("traces") < 20 || l.count("metrics") < 20 {
				return fmt.Errorf("nothing acknowledged yet")
			}
			return nil
		})
		time.Sleep(time.Duration(random.IntN(2500)) * time.Millisecond)
		p.kill()
		l.stop()
	}
	p.start()
	p.waitReady()
	requireExactlyOnce(p, loads...)
	p.stop()
	p.awaitGone(5 * time.Second)
}

// ClickHouse is silent for a minute under load: OTLP is accepted and the live tail flows all the while, and
// the backlog drains after, exactly once.
func TestClickHouseAwayForAMinute(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := startProduct(t, "config/otlp-only.yaml")
	v := p.watch("logs:load")
	l := startLoad(p, "away", 1, 5*time.Millisecond)
	p.await(20*time.Second, "rows before the outage", func() error {
		if n, err := p.count("SELECT count() FROM tailrace.otel_logs"); err != nil || n == 0 {
			return fmt.Errorf("%d rows, %w", n, err)
		}
		return nil
	})

	pid := clickHousePID(p)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	before, seen, refused := l.count("logs"), len(v.all()), l.refused.Load()
	time.Sleep(60 * time.Second) // the outage itself
	assert.Greater(t, l.count("logs")-before, 1000, "OTLP was not accepted during the outage")
	assert.Greater(t, len(v.all())-seen, 1000, "the live tail did not flow during the outage")
	assert.Equal(t, refused, l.refused.Load(), "requests were refused during the outage")
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))

	l.stop()
	requireExactlyOnce(p, l)
	p.stop()
}

// ClickHouse crashes under load: it is started again and nothing is lost or doubled.
func TestKilledClickHouseComesBack(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := startProduct(t, "config/otlp-only.yaml")
	l := startLoad(p, "chkill", 1, time.Millisecond)
	for range 5 {
		pid := clickHousePID(p)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		p.await(30*time.Second, "a new ClickHouse", func() error {
			if _, err := p.count("SELECT toUInt64(1)"); err != nil {
				return err
			}
			if clickHousePID(p) == pid {
				return fmt.Errorf("still the old one")
			}
			return nil
		})
		p.await(30*time.Second, "rows", func() error {
			_, err := p.count("SELECT count() FROM tailrace.otel_logs")
			return err
		})
	}
	l.stop()
	requireExactlyOnce(p, l)
	p.stop()
}

// clickHousePID finds the ClickHouse process by its data folder on the command line.
func clickHousePID(p *product) int {
	p.t.Helper()
	pid := 0
	p.await(20*time.Second, "a ClickHouse process", func() error {
		for _, line := range p.processes() {
			number, command, _ := strings.Cut(line, " ")
			if !strings.Contains(command, "--path=") {
				continue
			}
			if state, _ := os.ReadFile("/proc/" + number + "/stat"); bytes.Contains(state, []byte(") Z ")) {
				continue
			}
			var err error
			pid, err = strconv.Atoi(number)
			return err
		}
		return fmt.Errorf("none in %v", p.processes())
	})
	return pid
}
