// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withServers writes the shipped configuration with other servers, given as the YAML of the list, and returns its path.
func withServers(t testing.TB, servers string) string {
	t.Helper()
	local, err := os.ReadFile("../../config/local.yaml")
	require.NoError(t, err)
	config := regexp.MustCompile(`(?s)(\n    servers:\n).*?(\nreceivers:)`).ReplaceAllString(string(local), "${1}"+strings.ReplaceAll(servers, "$", "$$")+"${2}")
	require.NotEqual(t, string(local), config)
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	return path
}

// Three ways in which a server is more than one process: npm, a pipe whose reader ends last, and a daemon that has
// left the session of its parent.
const trees = `
      - {id: npm, project: trees, command: [npm, start, --silent], dir: examples/agent, env: {AGENT_SEED: "3"}}
      - {id: pipe, project: trees, command: [sh, -c, 'node server.mjs | (trap "" TERM; exec cat)'], dir: examples/agent, env: {AGENT_SEED: "4"}}
      - {id: daemon, project: trees, command: [sh, -c, '(setsid sh -c "echo the daemon is up; exec sleep 600" &); exec sleep 600']}
`

func startTrees(t *testing.T) *product {
	t.Helper()
	p := startProduct(t, withServers(t, trees))
	for server, body := range map[string]string{"npm": "line %", "pipe": "line %", "daemon": "the daemon is up"} {
		p.await(30*time.Second, "a line of "+server, func() error {
			n, err := p.count("SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['server.id'] = $1 AND Body LIKE $2", server, body)
			if err == nil && n == 0 {
				err = fmt.Errorf("no row")
			}
			return err
		})
	}
	p.await(30*time.Second, "a trace of each agent", func() error {
		n, err := p.count("SELECT uniqExact(ResourceAttributes['server.id']) FROM tailrace.otel_traces WHERE ResourceAttributes['project.id'] = 'trees'")
		if err == nil && n < 2 {
			err = fmt.Errorf("of %d servers", n)
		}
		return err
	})
	return p
}

// What a whole tree prints and sends between Ctrl-C and its end is in ClickHouse, and nothing of it stays behind.
func TestTreesEndWithTheirLastWordsAndSpans(t *testing.T) {
	p := startTrees(t)
	p.stop()
	p.awaitGone(5 * time.Second)
	assert.Empty(t, p.files(".jsonl.open"), "segments that were not published")

	// Nothing loads files now: what is there was there when the collector had ended.
	p.startClickHouseOnly()
	for _, server := range []string{"npm", "pipe"} {
		var runs, lines uint64
		var last string
		require.NoError(t, p.conn.QueryRow(t.Context(), `SELECT Body FROM tailrace.otel_logs WHERE ResourceAttributes['server.id'] = $1
 AND Body LIKE '%last words on stdout%'`, server).Scan(&last))
		_, last, _ = strings.Cut(last, "last words ")
		_, err := fmt.Sscanf(last, "on stdout after %d runs, %d lines before this one", &runs, &lines)
		require.NoError(t, err, last)
		require.Positive(t, runs)
		// It counts its plain lines, which are numbered.
		n, err := p.count(`SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['server.id'] = $1 AND startsWith(Body, 'line 0')
 AND LogAttributes['log.iostream'] = 'stdout'`, server)
		require.NoError(t, err)
		require.Equal(t, lines+1, n, "lines of %s", server)
		n, err = p.count(`SELECT uniqExact(TraceId) FROM tailrace.otel_traces WHERE ResourceAttributes['server.id'] = $1 AND ParentSpanId = ''`, server)
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, runs, "root spans of %s", server)
		t.Logf("%s: %d runs with their traces, %d lines", server, runs, lines+1)
	}
	p.stop()
	p.awaitGone(5 * time.Second)
}

// A collector that is killed takes the whole trees along.
func TestTreesDieWithTheCollector(t *testing.T) {
	p := startTrees(t)
	require.GreaterOrEqual(t, len(p.processes()), 8, "the trees: %v", p.processes())
	p.kill()
	p.awaitGone(20 * time.Second)
}

// chatterEnv makes this test binary play a child process that prints numbered lines: "lines,pause between them".
const chatterEnv = "TAILRACE_E2E_CHATTER"

func chatter(spec string) {
	count, pause, _ := strings.Cut(spec, ",")
	lines, err := strconv.Atoi(count)
	if err != nil {
		panic(err)
	}
	every, err := time.ParseDuration(pause)
	if err != nil {
		panic(err)
	}
	begin := time.Now()
	for i := range lines {
		// By the clock, not by the last line: a late line does not make all others late.
		time.Sleep(time.Until(begin.Add(time.Duration(i) * every)))
		fmt.Printf("chatter %06d of %d: the quick brown fox jumps over the lazy dog, again and again\n", i, lines)
	}
	select {}
}

// startChatter runs servers that print lines each, 100 a second.
func startChatter(t testing.TB, servers, lines int) *product {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	var list strings.Builder
	for i := range servers {
		fmt.Fprintf(&list, "      - {id: chatter-%03d, project: many-%d, command: [%q], env: {%s: '%d,10ms', GOMAXPROCS: '1'}}\n", i, i%10, self, chatterEnv, lines)
	}
	return startProduct(t, withServers(t, list.String()))
}

const chatterRows = "SELECT %s FROM tailrace.otel_logs WHERE startsWith(ResourceAttributes['project.id'], 'many-') AND startsWith(Body, 'chatter ')"

// Two hundred servers print at once, more than the two cores have to spare for: every line is there, once and in order.
func TestManyServers(t *testing.T) {
	const servers, lines = 200, 500
	p := startChatter(t, servers, lines)
	p.awaitCount(120*time.Second, servers*lines, fmt.Sprintf(chatterRows, "count()"))
	n, err := p.count(fmt.Sprintf(chatterRows, "uniqExact(ResourceAttributes['server.id'], Body)"))
	require.NoError(t, err)
	assert.EqualValues(t, servers*lines, n, "a line is there twice")
	// The uid orders the lines of a stream as they were printed.
	n, err = p.count(`SELECT count() FROM (SELECT arraySort(groupArray((LogAttributes['log.record.uid'], Body))) AS byUID,
 arrayMap(x -> x.2, byUID) AS bodies FROM tailrace.otel_logs WHERE startsWith(Body, 'chatter ') GROUP BY ResourceAttributes['server.id']
 HAVING bodies = arraySort(bodies))`)
	require.NoError(t, err)
	assert.EqualValues(t, servers, n, "servers whose lines are in order")
	// The most that it ever had: what its memory_limiter allows, and what Go has beside the heap, however far ClickHouse was behind.
	peak := p.peakMiB(p.cmd.Process.Pid)
	assert.Less(t, peak, 768.0, "MiB")
	t.Logf("collector: %.0f MiB resident, %.0f at most", p.residentMiB(), peak)
	p.stop()
	p.awaitGone(5 * time.Second)
}

// BenchmarkManyServers measures 200 servers that print 100 lines a second each, for a minute: what the collector and ClickHouse need, and how
// long after the last line was printed all rows are there. It fails when a line is lost or doubled.
func BenchmarkManyServers(b *testing.B) {
	const servers, lines = 200, 6000
	for b.Loop() {
		p := startChatter(b, servers, lines)
		begin := time.Now()
		clickHouse := clickHousePID(p)
		busy := [2]time.Duration{p.cpu(p.cmd.Process.Pid), p.cpu(clickHouse)}
		time.Sleep(15 * time.Second) // a quarter of the time that is measured
		quarter := p.peakMiB(p.cmd.Process.Pid)
		time.Sleep(time.Until(begin.Add(60 * time.Second)))
		took := time.Since(begin).Seconds()
		for i, name := range []string{"collector-cores", "clickhouse-cores"} {
			b.ReportMetric((p.cpu([2]int{p.cmd.Process.Pid, clickHouse}[i])-busy[i]).Seconds()/took, name)
		}
		p.awaitCount(10*time.Minute, servers*lines, fmt.Sprintf(chatterRows, "uniqExact(ResourceAttributes['server.id'], Body)"))
		behind := time.Since(begin) - lines*10*time.Millisecond
		p.awaitCount(time.Second, servers*lines, fmt.Sprintf(chatterRows, "count()"))
		b.ReportMetric(behind.Seconds(), "s-to-all-rows")
		b.ReportMetric(quarter, "MiB-peak-at-15s")
		b.ReportMetric(p.peakMiB(p.cmd.Process.Pid), "MiB-peak")
		b.ReportMetric(p.peakMiB(clickHouse), "MiB-peak-clickhouse")
		p.stop()
	}
	b.ReportMetric(0, "ns/op")
}
