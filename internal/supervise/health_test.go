// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/freeport"
)

func testCheck(probe Probe) *HealthCheck {
	return &HealthCheck{
		Probe: probe, StartInterval: 5 * time.Millisecond, Interval: 5 * time.Millisecond, Timeout: 5 * time.Second,
		StartPeriod: time.Hour, HealthyThreshold: 1, UnhealthyThreshold: 2,
	}
}

// waitForState waits until the last event of a kind has a state.
func waitForState(t *testing.T, sink *recorder, source *Source, kind EventKind, state string) *Event {
	var event *Event
	require.Eventually(t, func() bool {
		event = lastEvent(sink.of(source), kind)
		return event != nil && event.State == state
	}, patience, time.Millisecond, "waiting for %s", state)
	return event
}

func healthStates(entries []Entry) []string {
	var out []string
	for _, e := range entries {
		if e.Event != nil && e.Event.Kind == Health {
			out = append(out, e.Event.State)
		}
	}
	return out
}

func TestHealthThresholds(t *testing.T) {
	check := &HealthCheck{StartPeriod: 10, HealthyThreshold: 2, UnhealthyThreshold: 3, StartInterval: 1, Interval: 7}
	for name, test := range map[string]struct {
		probes string // + and -, one for each unit of time
		want   string // the first letter of the status after each
	}{
		"healthy after two in a row":                     {"+-++", "sssh"},
		"failures in the start period do not count":      {"----------", "ssssssssss"},
		"they count after it":                            {"-------------", "ssssssssssssu"},
		"a failure less than the threshold does nothing": {"++--+--+---+-++", "shhhhhhhhhuuuuh"},
		"the start period ends with the first health":    {"++---", "shhhu"},
	} {
		h := health{check: check, status: HealthStarting}
		var got strings.Builder
		for age, probe := range test.probes {
			before := h.status
			changed := h.observe(probe == '+', time.Duration(age))
			assert.Equal(t, before != h.status, changed, name)
			got.WriteByte(h.status[0])
			if h.status == HealthStarting {
				assert.EqualValues(t, 1, h.wait())
			} else {
				assert.EqualValues(t, 7, h.wait())
			}
		}
		assert.Equal(t, test.want, got.String(), name)
	}
}

func TestHealthFollowsTheAnswersOfTheServer(t *testing.T) {
	file, address := filepath.Join(t.TempDir(), "health"), freeport.Address(t)
	server := testServer("web-1", "http:"+address)
	server.Env = append(server.Env, "HEALTH_FILE="+file)
	server.Health = testCheck(HTTPProbe{URL: "http://" + address + "/health"})
	options := testOptions(server)
	failures := make(chan string, 10)
	options.OnFailure = func(_ *Source, err error) {
		if err != nil {
			failures <- err.Error()
		} else {
			failures <- ""
		}
	}
	sink := &recorder{}
	s := start(t, options, sink)
	waitForState(t, sink, server.Source, Lifecycle, StateRunning)
	assert.Equal(t, HealthStarting, lastEvent(sink.of(server.Source), Health).State, "it answers 503 in the start period")

	require.NoError(t, os.WriteFile(file, []byte("204"), 0o600))
	event := waitForState(t, sink, server.Source, Health, HealthHealthy)
	assert.Equal(t, "GET http://"+address+"/health answered 204", event.Reason)
	assert.NotZero(t, event.Uptime)
	assert.Empty(t, <-failures)

	require.NoError(t, os.WriteFile(file, []byte("500"), 0o600))
	event = waitForState(t, sink, server.Source, Health, HealthUnhealthy)
	assert.Equal(t, "GET http://"+address+"/health answered 500", event.Reason)
	assert.True(t, event.Failure)
	assert.Equal(t, "servers[0] (web-1): unhealthy: "+event.Reason, <-failures)
	require.Eventually(t, func() bool { return s.Servers()[0].Health == HealthUnhealthy }, 10*time.Second, time.Millisecond)

	require.NoError(t, os.WriteFile(file, []byte("200"), 0o600))
	waitForState(t, sink, server.Source, Health, HealthHealthy)
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, []string{"starting", "healthy", "unhealthy", "healthy", "stopping"}, healthStates(sink.of(server.Source)))
	assert.Zero(t, lastEvent(sink.of(server.Source), Lifecycle).Restarts, "nobody asked for a restart")
}

func TestUnhealthyServerIsRestartedWhenAsked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "health")
	require.NoError(t, os.WriteFile(file, []byte("ok"), 0o600))
	server := testServer("web-1", "polite")
	server.Restart = RestartOnFailure
	server.Health = testCheck(CommandProbe{Command: []string{"/bin/sh", "-c", `grep -q ok "$0" || { echo not ok; exit 4; }`, file}})
	server.Env = append(server.Env, "PATH="+os.Getenv("PATH"))
	server.Health.RestartUnhealthy = true
	sink := &recorder{}
	s := start(t, testOptions(server), sink)
	waitForState(t, sink, server.Source, Health, HealthHealthy)
	waitFor(t, sink, server.Source, "ready") // it handles SIGTERM now
	require.NoError(t, os.WriteFile(file, []byte("bad"), 0o600))
	require.Eventually(t, func() bool { return s.Stats().Restarts == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, os.WriteFile(file, []byte("ok"), 0o600))
	waitForState(t, sink, server.Source, Health, HealthHealthy)
	require.NoError(t, s.Stop(t.Context()))
	var events []string
	for _, e := range sink.of(server.Source) {
		if e.Event != nil && e.Event.Kind == Lifecycle && e.Event.State == StateStopped && e.Event.Failure {
			assert.Equal(t, "unhealthy: /bin/sh exited with code 4: not ok", e.Event.Reason)
			assert.Equal(t, "server web-1 was stopped because it was unhealthy, and exited with code 0", e.Line)
		}
		if e.Event != nil && e.Event.Restarts == 0 {
			events = append(events, states([]Entry{e})...)
		}
	}
	assert.Equal(t, []string{
		"starting", "health starting", "running", "health healthy", "health unhealthy", "health stopping", "stopped",
	}, events)
	assert.Contains(t, lines(output(sink.of(server.Source), Stderr)), "last words")
}

func TestStopDuringAProbe(t *testing.T) {
	server := testServer("web-1", "polite")
	folder := t.TempDir()
	server.Health = testCheck(CommandProbe{Command: []string{"/bin/sh", "-c", `echo $$ > "$0/pid.new"; mv "$0/pid.new" "$0/pid"; sleep 1000`, folder}})
	server.Health.Timeout = time.Hour
	server.Env = append(server.Env, "PATH="+os.Getenv("PATH"))
	sink := &recorder{}
	s := start(t, testOptions(server), sink)
	waitFor(t, sink, server.Source, "ready")
	var text []byte
	require.Eventually(t, func() bool {
		var err error
		text, err = os.ReadFile(filepath.Join(folder, "pid"))
		return err == nil
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Stop(t.Context()))
	requireGone(t, pidOf(t, Entry{Line: strings.TrimSpace(string(text))}))
	assert.Equal(t, []string{"starting", "stopping"}, healthStates(sink.of(server.Source)))
}

func TestReportsRepeatTheHealthWithTheUsage(t *testing.T) {
	server := testServer("web-1", "polite")
	options := testOptions(server)
	options.ReportInterval = 5 * time.Millisecond
	sink := &recorder{}
	s := start(t, options, sink)
	var report *Event
	require.Eventually(t, func() bool {
		report = lastEvent(sink.of(server.Source), Health)
		return report != nil && report.Uptime > 0
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, HealthHealthy, report.State)
	assert.False(t, report.Failure)
}

func TestReportsDoNotGatherWhileNobodyReads(t *testing.T) {
	o := newOutlet(1000)
	q := o.newQueue(&Source{Server: "web-1"})
	report := Entry{Time: time.Now(), Line: "report", Event: &Event{Kind: Health}}
	o.offerEvent(q, report)
	assert.Zero(t, o.buffered, "nobody reads")
	stuck := &recorder{gate: make(chan struct{})}
	detach := attach(t, o, stuck)
	o.push(q, []Entry{{Time: time.Now(), Line: "with the sink"}})
	require.Eventually(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.busy
	}, 10*time.Second, time.Millisecond)
	for range 100 {
		o.offerEvent(q, report)
	}
	assert.Less(t, o.buffered, int64(1000+entryOverhead+10), "the sink is held up")
	assert.Zero(t, o.dropped, "a report that is not taken is no loss")
	close(stuck.gate)
	require.NoError(t, o.drain(t.Context()))
	detach()
	assert.Greater(t, len(stuck.of(q.source)), 2)
}

func TestProbes(t *testing.T) {
	server := New(testOptions(testServer("web-1", ""))).all[0]
	server.sup.starter = newStarter(server.sup.opts.Load)
	defer server.sup.starter.close()
	server.env = []string{"PATH=" + os.Getenv("PATH"), "NAME=value"}
	server.spec.Dir = t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	listening, silent := listener.Addr().String(), freeport.Address(t)
	for name, test := range map[string]struct {
		probe  Probe
		text   string
		errors []string
	}{
		"tcp":             {probe: TCPProbe{Address: listening}, text: listening + " accepts connections"},
		"tcp refused":     {probe: TCPProbe{Address: silent}, errors: []string{silent, "refused"}},
		"http refused":    {probe: HTTPProbe{URL: "http://" + silent}, errors: []string{"GET http://" + silent, "refused"}},
		"http no answer":  {probe: HTTPProbe{URL: "http://" + listening}, errors: []string{"GET http://" + listening, "deadline exceeded"}},
		"command":         {probe: CommandProbe{Command: []string{"sh", "-c", "echo $NAME; pwd"}}, text: "sh exited with code 0: value " + server.spec.Dir},
		"command fails":   {probe: CommandProbe{Command: []string{"sh", "-c", "echo why >&2; exit 3"}}, errors: []string{"sh exited with code 3: why"}},
		"command missing": {probe: CommandProbe{Command: []string{"no-such-program"}}, errors: []string{`"no-such-program" was not found`}},
		"command hangs":   {probe: CommandProbe{Command: []string{"sh", "-c", "sleep 1000 & sleep 1000"}}, errors: []string{"sh did not end in time"}},
		"output held":     {probe: CommandProbe{Command: []string{"sh", "-c", "sleep 1000 & echo done"}}, text: "sh exited with code 0: done"},
		"much output":     {probe: CommandProbe{Command: []string{"sh", "-c", `seq 100000; printf '\377'`}}, text: "sh exited with code 0: 1 2 3"},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 10 * time.Second
			if strings.Contains(name, "hangs") || strings.Contains(name, "no answer") {
				timeout = 100 * time.Millisecond
			}
			server.spec.Health = &HealthCheck{Probe: test.probe, Timeout: timeout}
			result := server.probe(t.Context())
			if test.errors == nil {
				require.NoError(t, result.err)
				assert.True(t, strings.HasPrefix(result.text, test.text), result.text)
				assert.LessOrEqual(t, len(result.text), 300)
				return
			}
			for _, want := range test.errors {
				assert.ErrorContains(t, result.err, want)
			}
		})
	}
}

func TestHTTPProbeKnowsItsStatuses(t *testing.T) {
	file, address := filepath.Join(t.TempDir(), "health"), freeport.Address(t)
	server := testServer("web-1", "http:"+address)
	server.Env = append(server.Env, "HEALTH_FILE="+file)
	server.Health = testCheck(HTTPProbe{URL: "http://" + address})
	require.NoError(t, os.WriteFile(file, []byte("302"), 0o600))
	sink := &recorder{}
	start(t, testOptions(server), sink)
	waitForState(t, sink, server.Source, Health, HealthHealthy) // a redirect is an answer
	_, err := HTTPProbe{URL: "http://" + address, Statuses: []int{200, 204}}.check(t.Context(), nil)
	require.EqualError(t, err, "GET http://"+address+" answered 302")
	_, err = HTTPProbe{URL: "http://" + address, Statuses: []int{302}}.check(t.Context(), nil)
	require.NoError(t, err)
}

func TestWhatACommandSaidIsOneLineOfValidText(t *testing.T) {
	var l limited
	_, _ = l.Write([]byte("a\n\xffb" + strings.Repeat("ü", 200)))
	_, _ = l.Write([]byte("more"))
	assert.Equal(t, "a \uFFFDb"+strings.Repeat("ü", 126), l.text())
}
