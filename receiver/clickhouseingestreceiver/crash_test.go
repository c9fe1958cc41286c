// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/segment"
)

// killAt starts a process that kills itself at the n-th passing of a point, while data comes in, and reports whether it did.
func (l *load) killAt(t *testing.T, server *clickhousetest.Server, conn driver.Conn, signal, point string, n int) bool {
	t.Helper()
	_, ended := victim(t, l.kind, l.dir, server.Addr(), fmt.Sprintf("%s:%s:%d", signal, point, n))
	deadline := time.After(5 * time.Minute)
	for {
		select {
		case last := <-ended:
			return last == "reached"
		case <-time.After(25 * time.Millisecond):
			if l.waiting(t) < 60 { // not more than a busy machine can load
				l.write(t, 20)
			}
			keepUp(server, conn)
		case <-deadline:
			t.Fatalf("%s of %s was not reached", point, signal)
		}
	}
}

func TestKillAtEveryNamedPointLosesAndDoublesNothing(t *testing.T) {
	eachExporter(t, killAtEveryNamedPointLosesAndDoublesNothing)
}

func killAtEveryNamedPointLosesAndDoublesNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	points := []string{
		string(ingest.PointManifest), string(ingest.PointQuarantined), "sending", string(ingest.PointAnswered),
		string(ingest.PointRecorded), string(ingest.PointMoved),
	}
	hits := map[string]int{}
	for range clickhousetest.Kills(t) {
		for _, point := range points {
			for _, signal := range []string{signalTraces, signalLogs, signalMetrics} {
				l.write(t, 150)
				if l.killAt(t, server, conn, signal, point, 1+rand.IntN(2)) {
					hits[point]++
				}
			}
		}
	}
	for _, point := range points {
		assert.GreaterOrEqual(t, hits[point], 3*clickhousetest.Kills(t), "kills at %s", point)
	}
	t.Log("kills:", hits)
	l.exact(t, server)
}

// A batch with records that the store refuses is taken apart; the process is killed at each step of that.
func TestKillWhileABatchIsTakenApartLosesAndDoublesNothing(t *testing.T) {
	eachExporter(t, killWhileABatchIsTakenApartLosesAndDoublesNothing)
}

func killWhileABatchIsTakenApartLosesAndDoublesNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	hits := 0
	all := []string{"split:1", "split:3", "answered:1", "sending:7"}
	for round := range clickhousetest.Kills(t) {
		for i, signal := range []string{signalTraces, signalLogs, signalMetrics} {
			for _, at := range all[(i+round)%3 : (i+round)%3+1+round%2] {
				l.write(t, 60)
				l.poison(t, segment.Types()[i])
				point, n, _ := strings.Cut(at, ":")
				nth, err := strconv.Atoi(n)
				require.NoError(t, err)
				if l.killAt(t, server, conn, signal, point, nth) {
					hits++
				}
			}
		}
	}
	assert.GreaterOrEqual(t, hits, 3*clickhousetest.Kills(t))
	t.Log("kills while a batch is taken apart:", hits)
	l.exact(t, server)
}

// poison writes a record that the tables refuse among others, into the segments that are open.
func (l *load) poison(t *testing.T, typ segment.Type) {
	t.Helper()
	for _, f := range l.files {
		if f.typ == typ {
			l.seq++
			text, _ := recordLine(typ, rand.IntN(3), fmt.Sprintf("poison-%d", l.seq), 1)
			f.write(t, text+"\n")
			l.bad++
		}
	}
}

func TestKillAtRandomPointsLosesAndDoublesNothing(t *testing.T) {
	eachExporter(t, killAtRandomPointsLosesAndDoublesNothing)
}

func killAtRandomPointsLosesAndDoublesNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	for range 10 * clickhousetest.Kills(t) {
		keepUp(server, conn)
		l.write(t, 200)
		kill, ended := victim(t, l.kind, l.dir, server.Addr(), "")
		for end := time.Now().Add(time.Duration(rand.IntN(150)) * time.Millisecond); time.Now().Before(end); {
			l.write(t, 20)
			time.Sleep(10 * time.Millisecond)
		}
		kill()
		<-ended
	}
	t.Log("kills at random points:", 10*clickhousetest.Kills(t))
	l.exact(t, server)
}

// Two collectors on one folder, of which the one that loads is killed or stopped, again and again: the other one goes on.
func TestTwoCollectorsOnOneFolderTakeOverFromEachOther(t *testing.T) {
	eachExporter(t, twoCollectorsOnOneFolderTakeOverFromEachOther)
}

func twoCollectorsOnOneFolderTakeOverFromEachOther(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	points := []string{
		"", "traces:manifest:2", "logs:quarantined:1", "metrics:sending:2", "traces:answered:1", "logs:recorded:2", "metrics:moved:1", "", "traces:sending:1",
	}
	kill, ended := victim(t, l.kind, l.dir, server.Addr(), points[0])
	for i := range points {
		next, nextEnded := victim(t, l.kind, l.dir, server.Addr(), points[(i+1)%len(points)])
		gone := false
		for end := time.Now().Add(time.Duration(50+rand.IntN(150)) * time.Millisecond); time.Now().Before(end) && !gone; {
			l.write(t, 20)
			select {
			case <-ended: // at its named point
				gone = true
			case <-time.After(15 * time.Millisecond):
			}
			keepUp(server, conn)
		}
		if !gone {
			kill()
			<-ended
		}
		kill, ended = next, nextEnded
	}
	before := seen(t, conn)
	l.write(t, 100)
	require.Eventually(t, func() bool {
		keepUp(server, conn)
		return seen(t, conn) > before
	}, 30*time.Second, 50*time.Millisecond, "the last one has taken over")
	kill()
	<-ended
	l.exact(t, server)
}

// seen counts the rows of all tables.
func seen(t *testing.T, conn driver.Conn) (n uint64) {
	t.Helper()
	for _, signal := range []string{signalTraces, signalLogs, signalMetrics} {
		var rows uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+signal).Scan(&rows); err != nil {
			return 0
		}
		n += rows
	}
	return n
}

func TestKillOfClickHouseUnderLoadLosesAndDoublesNothing(t *testing.T) {
	eachExporter(t, killOfClickHouseUnderLoadLosesAndDoublesNothing)
}

func killOfClickHouseUnderLoadLosesAndDoublesNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	r := newTestReceiver(t, l.dir, newConsumers(t, kind, server.Addr(), conn, nil))
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	for range 5 * clickhousetest.Kills(t) {
		for end := time.Now().Add(time.Duration(100+rand.IntN(200)) * time.Millisecond); time.Now().Before(end); {
			l.write(t, 50)
			time.Sleep(10 * time.Millisecond)
		}
		server.Kill()
		l.write(t, 50)
		server.Run()
	}
	t.Log("kills of ClickHouse:", 5*clickhousetest.Kills(t))
	require.NoError(t, r.Shutdown(context.Background()))
	l.exact(t, server)
}
