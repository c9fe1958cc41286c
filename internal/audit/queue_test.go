// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps what it accepts; refuse makes it wait for the end of ctx.
type sink struct {
	mu     sync.Mutex
	got    []Event
	refuse bool
	asked  int
}

func (s *sink) Deliver(ctx context.Context, events []Event) error {
	s.mu.Lock()
	s.asked++
	refuse := s.refuse
	if !refuse {
		s.got = append(s.got, events...)
	}
	s.mu.Unlock()
	if refuse {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (s *sink) events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.got...)
}

func nothingIsLost(t *testing.T) func(Event) {
	return func(e Event) { t.Errorf("lost: %s", e.Text()) }
}

func TestEventsWaitForASinkInOrder(t *testing.T) {
	q := NewQueue(time.Minute, nothingIsLost(t))
	add := func(from, to int) {
		for i := from; i < to; i++ {
			q.Add(Event{Time: time.Now(), Name: Login, Outcome: Success, Subject: fmt.Sprint(i)})
		}
	}
	add(0, 1000)
	stuck := &sink{refuse: true}
	detach, err := q.AttachAudit(stuck)
	require.NoError(t, err)
	_, err = q.AttachAudit(&sink{})
	require.ErrorIs(t, err, ErrAttached)
	require.Eventually(t, func() bool { stuck.mu.Lock(); defer stuck.mu.Unlock(); return stuck.asked > 0 }, 10*time.Second, time.Millisecond)
	add(1000, 2000)
	detach()
	detach()
	require.Equal(t, 2000, q.Waiting())

	good := &sink{}
	detach, err = q.AttachAudit(good)
	require.NoError(t, err)
	defer detach()
	add(2000, 2100)
	require.Eventually(t, func() bool { return len(good.events()) == 2100 }, 10*time.Second, time.Millisecond)
	uids := map[string]bool{}
	for i, e := range good.events() {
		require.Equal(t, fmt.Sprint(i), e.Subject)
		require.Len(t, e.UID, 26)
		uids[e.UID] = true
	}
	require.Len(t, uids, 2100)
}

func TestTheOldestAreLostAndTold(t *testing.T) {
	var lost []string
	q := NewQueue(time.Minute, func(e Event) { lost = append(lost, e.Subject) })
	for i := range maxWaiting + 3 {
		q.Add(Event{Time: time.Now(), Name: Login, Outcome: Success, Subject: fmt.Sprint(i)})
	}
	assert.Equal(t, []string{"0", "1", "2"}, lost)
	assert.Equal(t, maxWaiting, q.Waiting())
	assert.Equal(t, "3", q.Take()[0].Subject)
}

// Every refusal is in the count of exactly one record.
func TestRefusalsAlikeAreCounted(t *testing.T) {
	q := NewQueue(time.Minute, nothingIsLost(t))
	now := time.Now()
	refused := func(client string, after time.Duration) {
		q.Add(Event{Time: now.Add(after), Name: Refusal, Outcome: Refused, Reason: "credential", Client: client})
	}
	for i := range 1000 {
		refused("192.0.2.1", time.Duration(i)*time.Millisecond)
	}
	refused("192.0.2.2", time.Second)
	require.Equal(t, 2, q.Waiting())
	refused("192.0.2.1", 2*time.Minute) // the window of the first is over
	total := map[string]int{}
	for _, e := range q.Take() {
		total[e.Client] += e.Count
	}
	assert.Equal(t, map[string]int{"192.0.2.1": 1001, "192.0.2.2": 1}, total)

	// Many clients: bounded, and none is missing.
	q = NewQueue(time.Minute, nothingIsLost(t))
	sum := 0
	for i := range 10 * maxKinds {
		refused(fmt.Sprint("client", i), 0)
	}
	assert.LessOrEqual(t, len(q.refusals), maxKinds+1)
	for _, e := range q.Take() {
		sum += e.Count
	}
	assert.Equal(t, 10*maxKinds, sum)
}

// The last refusals of a burst are told without another event.
func TestCountedRefusalsAreToldWhenTheirWindowIsOver(t *testing.T) {
	q := NewQueue(20*time.Millisecond, nothingIsLost(t))
	s := &sink{}
	detach, err := q.AttachAudit(s)
	require.NoError(t, err)
	defer detach()
	for range 5 {
		q.Add(Event{Time: time.Now(), Name: Refusal, Outcome: Refused, Reason: "csrf"})
	}
	require.Eventually(t, func() bool {
		n := 0
		for _, e := range s.events() {
			n += e.Count
		}
		return n == 5
	}, 10*time.Second, time.Millisecond)
}

func TestWhatClientsSentIsHarmless(t *testing.T) {
	q := NewQueue(time.Minute, nothingIsLost(t))
	q.Add(Event{Time: time.Now(), Name: Login, Outcome: Refused, Subject: "ada\n\x1b[2Jroot \xff\u202e" + strings.Repeat("é", 1000), Reason: "credential"})
	e := q.Take()[0]
	assert.LessOrEqual(t, len(e.Subject), maxText+len("…"))
	for _, bad := range []string{"\n", "\x1b", "\xff", "\u202e"} {
		assert.NotContains(t, e.Text(), bad)
	}
}

func TestText(t *testing.T) {
	for want, e := range map[string]Event{
		"ada logged in from ::1":                                           {Name: Login, Outcome: Success, Subject: "ada", Client: "::1"},
		"login as ada from ::1 was refused: credential (3 times)":          {Name: Login, Outcome: Refused, Reason: "credential", Subject: "ada", Client: "::1", Count: 3},
		"ada logged out":                                                   {Name: Logout, Subject: "ada"},
		"ada exported 7 bytes of /api/v1/logs":                             {Name: Export, Outcome: Success, Subject: "ada", Bytes: 7, Path: "/api/v1/logs"},
		"ada exported 7 bytes of /api/v1/logs, failed":                     {Name: Export, Outcome: Failed, Subject: "ada", Bytes: 7, Path: "/api/v1/logs"},
		"ada put logs/shop/1+0.jsonl back from ::1":                        {Name: PutBack, Outcome: Success, Subject: "ada", Object: "logs/shop/1+0.jsonl", Client: "::1"},
		"ada put x back, failed":                                           {Name: PutBack, Outcome: Failed, Subject: "ada", Object: "x"},
		"POST /api/v1/logout by somebody from 192.0.2.1 was refused: csrf": {Name: Refusal, Outcome: Refused, Reason: "csrf", HTTPMethod: "POST", Path: "/api/v1/logout", Client: "192.0.2.1"},
	} {
		assert.Equal(t, want, e.Text())
	}
}
